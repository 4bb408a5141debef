//! See `tidegate_fuzz::served`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::served::check(data));
