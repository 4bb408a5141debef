//! See `tidegate_fuzz::scope`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::scope::check(data));
