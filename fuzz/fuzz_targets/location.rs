//! See `tidegate_fuzz::location`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::location::check(data));
