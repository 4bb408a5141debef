//! See `tidegate_fuzz::basic`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::basic::check(data));
