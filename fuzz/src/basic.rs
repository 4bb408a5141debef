//! `Authorization`: what was read is exactly what was sent, one spelling for one pair, and none of it is shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tidegate::base::secret::Secret;
use tidegate::oci::credentials::Credentials;

/// The bytes are a header value; and, cut at their first NUL, a user and a password.
pub fn check(data: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        read(&value);
    }
    let text = std::str::from_utf8(data).ok();
    if let Some((user, password)) = text.and_then(|text| text.split_once('\0')) {
        written(user, password);
    }
}

fn read(value: &HeaderValue) {
    let sent = value.as_bytes();
    match Credentials::parse(value) {
        Credentials::Basic { user, password } => {
            assert!(!user.contains(':') && !user.chars().any(char::is_control), "a user {user:?}");
            let pair = [user.as_bytes(), b":", password.expose()].concat();
            let encoded = STANDARD.encode(&pair);
            let (scheme, credentials) = sent.split_at(sent.len().min("Basic ".len()));
            assert!(scheme.eq_ignore_ascii_case(b"basic "), "{value:?}");
            assert_eq!(credentials, encoded.as_bytes(), "another spelling of the same pair was read");
            let text = std::str::from_utf8(password.expose()).ok();
            if let Some(again) = text.and_then(|text| Credentials::basic(&user, text)) {
                assert_eq!(Credentials::parse(&again), Credentials::Basic { user, password });
            }
        }
        Credentials::Bearer(token) => {
            let (scheme, credentials) = sent.split_at(sent.len().min("Bearer ".len()));
            assert!(scheme.eq_ignore_ascii_case(b"bearer "), "{value:?}");
            assert_eq!(credentials, token.expose(), "another token than the one that was sent");
            let again = Credentials::bearer(&token).map(|again| Credentials::parse(&again));
            assert_eq!(again, Some(Credentials::Bearer(token)));
        }
        Credentials::Other => {}
    }
}

fn written(user: &str, password: &str) {
    let Some(header) = Credentials::basic(user, password) else { return };
    let secret = Secret::new(password.as_bytes().to_vec());
    let shown = format!("{header:?}");
    assert!(header.is_sensitive() && !shown.contains(&STANDARD.encode(format!("{user}:{password}"))), "{shown}");
    assert_eq!(Credentials::parse(&header), Credentials::Basic { user: user.to_owned(), password: secret });
}
