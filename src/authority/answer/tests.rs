use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::token::testing::{TestKey, claims, claims_but, verifier};

fn read(body: &str) -> Answer {
    let verifier = verifier(&[&TestKey::trusted().public_pem()]);
    Answer::of_success(&Bytes::copy_from_slice(body.as_bytes()), &verifier)
}

fn unreachable(body: &str) -> Option<Unreachable> {
    match read(body) {
        Answer::Unreachable { why, .. } => Some(why),
        _ => None,
    }
}

#[test]
fn a_token_under_either_name_is_granted_if_it_verifies() {
    let token = TestKey::trusted().sign(&claims());
    let bodies = [
        json!({"token": token}),
        json!({"access_token": token}),
        json!({"token": "", "access_token": token}),
        json!({"token": token, "access_token": token, "expires_in": 300, "issued_at": "2026-11-22T00:00:00Z"}),
    ];
    for body in bodies {
        let Answer::Granted(granted) = read(&body.to_string()) else { panic!("{body} is not granted") };
        assert_eq!(granted.token.expose(), token.as_bytes());
        assert_eq!(granted.body.expose(), body.to_string().as_bytes());
        assert_eq!(granted.expires_in, body["expires_in"].as_u64());
        assert_eq!(granted.signed.claims().subject.as_deref(), Some("ada"));
    }
}

#[test]
fn a_token_that_does_not_verify_is_opaque() {
    let table = [
        (TestKey::foreign().sign(&claims()), TokenError::Signature),
        (TestKey::trusted().sign(&claims_but("iss", json!("other"))), TokenError::Issuer),
        (TestKey::trusted().sign(&claims_but("aud", json!("other"))), TokenError::Audience),
        ("opaque".to_owned(), TokenError::Malformed),
    ];
    for (token, expected) in table {
        let Answer::Opaque { why, .. } = read(&json!({"token": token}).to_string()) else { panic!("{expected:?}") };
        assert_eq!(why, expected);
    }
}

#[test]
fn two_names_with_two_tokens_are_not_believed() {
    let (one, other) = (TestKey::trusted().sign(&claims()), TestKey::trusted().sign(&claims_but("sub", json!("eve"))));
    assert!(matches!(read(&json!({"token": one, "access_token": other}).to_string()), Answer::Opaque { .. }));
}

#[test]
fn what_is_not_json_is_no_answer() {
    for body in ["", "<!DOCTYPE html><html>Sign in</html>", "{\"token\":", "\u{1f}\u{8b}gzip"] {
        assert_eq!(unreachable(body), Some(Unreachable::NotJson), "{body}");
    }
}

#[test]
fn json_without_a_token_is_no_answer() {
    let array = json!([TestKey::trusted().sign(&claims())]).to_string();
    for body in ["{}", "[]", "null", "7", r#""token""#, r#"{"token":""}"#, r#"{"token":7}"#, array.as_str()] {
        assert_eq!(unreachable(body), Some(Unreachable::NoToken), "{body}");
    }
}

#[test]
fn an_odd_lifetime_does_not_lose_the_token() {
    let token = TestKey::trusted().sign(&claims());
    for odd in [json!("300"), json!(-1), json!(1.5), json!(null), json!([])] {
        let Answer::Granted(granted) = read(&json!({"token": token, "expires_in": odd}).to_string()) else {
            panic!("{odd} lost the token")
        };
        assert_eq!(granted.expires_in, None);
    }
}

#[test]
fn the_codes_of_a_refusal_are_read_where_there_are_any() {
    let codes = |body: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Refusal { status: StatusCode::FORBIDDEN, headers: HeaderMap::new(), body }.codes()
    };
    assert_eq!(codes(r#"{"errors":[{"code":"DENIED","message":"access forbidden"}],"http_status":403}"#), ["DENIED"]);
    for body in ["", "Forbidden", "{}", r#"{"errors":{}}"#, r#"{"errors":[{"message":"x"}]}"#] {
        assert!(codes(body).iter().all(String::is_empty), "{body}");
    }
}
