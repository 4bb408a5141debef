use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_bytes_are_taken_apart_or_refused(token in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Compact::parse(&token);
    }

    #[test]
    fn what_was_signed_is_what_was_sent(token in "[A-Za-z0-9_=.-]{0,60}") {
        if let Ok(compact) = Compact::parse(token.as_bytes()) {
            let parts = [compact.message(), compact.signature().as_bytes()];
            prop_assert_eq!(parts.join(&b'.'), token.as_bytes());
        }
    }
}

#[test]
fn the_size_is_bounded() {
    let token = |length: usize| format!("e30.{}.", "A".repeat(length - 5));
    // Four characters and nothing: both are whole groups of base64, the header is what is missing.
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256"}"#);
    let exact = format!("{header}.{}.", "A".repeat((MAX_TOKEN - header.len() - 2) / 4 * 4));
    assert!(Compact::parse(exact.as_bytes()).is_ok());
    let longer = format!("{header}.{}.", "A".repeat(MAX_TOKEN / 4 * 4));
    assert_eq!(Compact::parse(longer.as_bytes()).err(), Some(TokenError::Malformed));
    assert_eq!(Compact::parse(token(100 * 1024).as_bytes()).err(), Some(TokenError::Malformed));
}

#[test]
fn only_the_registries_algorithms_are_known() {
    let header = |alg: &str| Header { alg: alg.to_owned(), typ: None, kid: None, x5c: None, extended: false };
    for alg in ["RS256", "RS384", "RS512", "ES256", "ES384"] {
        assert_eq!(format!("{:?}", header(alg).algorithm().unwrap()), alg);
    }
    for alg in ["none", "None", "nOnE", "", "HS256", "HS384", "HS512", "PS256", "PS512", "ES512", "EdDSA", "rs256"] {
        assert_eq!(header(alg).algorithm(), Err(TokenError::Algorithm), "{alg}");
    }
}
