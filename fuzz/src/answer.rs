//! A token server's 200: granted is only what our key signed, the very token that every client will find in it.

use bytes::Bytes;
use serde_json::Value;
use tidegate::authority::answer::{Answer, Refusal};

use super::keys::{Key, PAYLOAD, token, verifier};

/// The bytes are a body, in which `$TOKEN` stands for a token that is right and `$FOREIGN` for a stranger's.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let foreign = Key::foreign().sign(super::keys::HEADER, PAYLOAD);
    let body = Bytes::from(text.replace("$TOKEN", token()).replace("$FOREIGN", &foreign));
    let answer = Answer::of_success(&body, verifier());
    let shown = format!("{answer:?}");
    assert!(!shown.contains(token()) && !shown.contains(&foreign), "the token is shown: {shown}");
    refused(&body);
    let held = match &answer {
        Answer::Granted(granted) => &granted.body,
        Answer::Opaque { body, .. } => body,
        _ => return,
    };
    assert_eq!(held.expose(), &body[..], "another body is handed on");
    let value: Value = serde_json::from_slice(&body).expect("JSON");
    let found: Vec<&str> = ["token", "access_token"].iter().filter_map(|name| value[*name].as_str()).collect();
    let found: Vec<&str> = found.into_iter().filter(|token| !token.is_empty()).collect();
    assert!(!found.is_empty(), "there is no token in {value}");
    if let Answer::Granted(granted) = &answer {
        assert!(found.iter().all(|one| one.as_bytes() == granted.token.expose()), "a client finds another token");
        assert_eq!(granted.token.expose(), token().as_bytes(), "a token that nobody signed is granted");
        assert_eq!(granted.expires_in, value["expires_in"].as_u64());
    }
}

/// The codes of a refusal's body are those that stand in it.
fn refused(body: &Bytes) {
    let refusal = Refusal { status: http::StatusCode::FORBIDDEN, headers: http::HeaderMap::new(), body: body.clone() };
    let codes = refusal.codes();
    if codes.is_empty() {
        return;
    }
    let value: Value = serde_json::from_slice(body).expect("JSON");
    let none = Vec::new();
    // An array of one would be read as the member of that place.
    let errors = value["errors"].as_array().or_else(|| value[0].as_array()).unwrap_or(&none);
    let written: Vec<&str> = errors.iter().map(|one| one["code"].as_str().or(one[0].as_str()).unwrap_or("")).collect();
    assert_eq!(codes, written, "{value}");
}
