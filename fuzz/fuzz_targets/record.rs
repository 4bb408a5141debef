//! See `tidegate_fuzz::record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::record::check(data));
