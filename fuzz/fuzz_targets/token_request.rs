//! See `tidegate_fuzz::token_request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::token_request::check(data));
