//! Secrets that are told apart from all else, and every spelling in which one could get into a text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The spellings to look for: as it is, inside base64 and base64url at any offset, percent-encoded throughout, in
/// hexadecimal, and as the list of numbers that `Debug` makes of bytes, of base64 as well.
///
/// Letters and digits of a secret stay what they are where only the rest is percent-encoded or escaped: a canary that
/// is made of nothing else is found there as it is.
pub(crate) fn spellings(secret: &[u8]) -> Vec<String> {
    let each = |form: fn(&u8) -> String, between: &str| secret.iter().map(form).collect::<Vec<_>>().join(between);
    let mut all = vec![
        String::from_utf8_lossy(secret).into_owned(),
        each(|byte| format!("%{byte:02X}"), ""),
        each(|byte| format!("%{byte:02x}"), ""),
        each(|byte| format!("{byte:02X}"), ""),
        each(|byte| format!("{byte:02x}"), ""),
        each(|byte| byte.to_string(), ", "),
    ];
    for offset in 0..3 {
        let shifted = [&vec![0; offset], secret].concat();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // Only the characters that the secret alone decides.
            let own = (offset * 8).div_ceil(6)..(offset + secret.len()) * 8 / 6;
            let encoded = encoded.get(own).unwrap_or_default();
            // A header's value that is printed as bytes.
            all.push(encoded.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", "));
            all.push(encoded.to_owned());
        }
    }
    all.sort();
    all.dedup();
    all
}
