//! See `tidegate_fuzz::relayed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::relayed::check(data));
