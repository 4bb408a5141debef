//! See `tidegate_fuzz::ticket`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::ticket::check(data));
