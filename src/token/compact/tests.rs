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
    // Twenty characters, so that what is left of 16 KiB ends in half a group of base64.
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256"}"#);
    let exact = format!("{header}.{}.AA", "A".repeat(16 * 1024 - header.len() - 4));
    assert_eq!(exact.len(), MAX_TOKEN);
    assert!(Compact::parse(exact.as_bytes()).is_ok());
    for signature in ["AAA", "AAAA", &"A".repeat(1024 * 1024)] {
        let longer = format!("{}.{signature}", exact.trim_end_matches(".AA"));
        assert_eq!(Compact::parse(longer.as_bytes()).err(), Some(TokenError::Malformed));
    }
}

#[test]
fn only_the_registries_algorithms_are_known() {
    let header = |alg: &str| Header { alg: alg.to_owned(), typ: None, kid: None, x5c: None, _extended: Absent };
    for alg in ["RS256", "RS384", "RS512", "ES256", "ES384"] {
        assert_eq!(format!("{:?}", header(alg).algorithm().unwrap()), alg);
    }
    for alg in ["none", "None", "nOnE", "", "HS256", "HS384", "HS512", "PS256", "PS512", "ES512", "EdDSA", "rs256"] {
        assert_eq!(header(alg).algorithm(), Err(TokenError::Algorithm), "{alg}");
    }
}
