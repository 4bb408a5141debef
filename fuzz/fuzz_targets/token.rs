//! See `tidegate_fuzz::token`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::token::check(data));
