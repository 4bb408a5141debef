//! See `tidegate_fuzz::challenge`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::challenge::check(data));
