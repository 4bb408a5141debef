//! The forged tokens: each a way in that some verifier somewhere has taken.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;

use super::*;
use crate::token::testing::params;

/// Believes one RSA key (RS256) and one P-256 key.
fn gate() -> Verifier {
    verifier(&[&TestKey::trusted().certificate().pem(), &TestKey::p256().certificate().pem()])
}

fn check(token: impl AsRef<[u8]>, error: TokenError) {
    let token = token.as_ref();
    assert_eq!(gate().verify(token).err(), Some(error), "{}", String::from_utf8_lossy(&token[..token.len().min(300)]));
}

/// A token signed rightly by the trusted key, under this header.
fn under(header: Value) -> String {
    TestKey::trusted().sign_raw(Algorithm::RS256, &header.to_string(), claims().to_string().as_bytes())
}

/// A token signed rightly by the trusted key, with this payload.
fn saying(payload: impl AsRef<[u8]>) -> String {
    TestKey::trusted().sign_raw(Algorithm::RS256, r#"{"alg":"RS256"}"#, payload.as_ref())
}

/// Claims with the text of one replaced, where `Value` cannot write what is meant.
fn claims_text(name: &str, text: &str) -> String {
    let marked = claims_but(name, json!("MARK")).to_string();
    assert!(marked.contains("\"MARK\""));
    marked.replace("\"MARK\"", text)
}

fn kid(key: &TestKey) -> String {
    verifier(&[&key.public_pem()]).keys.ids().next().unwrap().as_str().to_owned()
}

#[test]
fn the_tokens_are_refused_for_what_was_done_to_them_alone() {
    gate().verify(under(json!({ "alg": "RS256" })).as_bytes()).unwrap();
    gate().verify(under(json!({ "alg": "RS256", "typ": "jwt", "kid": kid(TestKey::trusted()) })).as_bytes()).unwrap();
    gate().verify(saying(claims().to_string()).as_bytes()).unwrap();
    gate().verify(saying(claims_text("sub", "\"ada\"")).as_bytes()).unwrap();
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    for alg in ["none", "None", "nOnE", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT" }).to_string());
        check(format!("{header}.{payload}."), TokenError::Algorithm);
        check(format!("{header}.{payload}.AAAA"), TokenError::Algorithm);
    }
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
    check(format!("{header}.{payload}."), TokenError::Signature);
    check(format!("{header}.{payload}"), TokenError::Malformed);
}

#[test]
fn an_hmac_with_the_public_key_as_its_secret_is_refused() {
    let key = TestKey::trusted();
    let spki = rustls::pki_types::pem::PemObject::from_pem_slice(key.public_pem().as_bytes());
    let spki: rustls::pki_types::SubjectPublicKeyInfoDer<'_> = spki.unwrap();
    let (pem, certificate) = (key.public_pem(), key.certificate());
    for secret in [pem.as_bytes(), spki.as_ref(), key.pair.public_key_raw(), certificate.der().as_ref(), b""] {
        for (alg, algorithm) in [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
        {
            let header = json!({ "alg": alg, "kid": kid(key) }).to_string();
            let message =
                format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
            let secret = EncodingKey::from_secret(secret);
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, algorithm).unwrap();
            check(format!("{message}.{signature}"), TokenError::Algorithm);
        }
    }
}

#[test]
fn another_algorithm_of_a_trusted_key_is_refused() {
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        for header in [
            json!({ "alg": format!("{algorithm:?}") }),
            json!({ "alg": format!("{algorithm:?}"), "kid": kid(TestKey::trusted()) }),
        ] {
            let token = TestKey::trusted().sign_raw(algorithm, &header.to_string(), claims().to_string().as_bytes());
            check(token, TokenError::Algorithm);
        }
    }
    // The header says one and the signature is of another.
    let token = TestKey::trusted().sign_raw(Algorithm::RS384, r#"{"alg":"RS256"}"#, claims().to_string().as_bytes());
    check(token, TokenError::Signature);
    let token = TestKey::trusted().sign_raw(Algorithm::PS256, r#"{"alg":"RS256"}"#, claims().to_string().as_bytes());
    check(token, TokenError::Signature);
}

#[test]
fn zero_is_no_signature() {
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "ES256", "kid": kid(TestKey::p256()) }).to_string());
    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    for signature in [vec![0; 64], vec![], vec![0; 63], vec![0xff; 64], vec![0x30, 6, 2, 1, 0, 2, 1, 0]] {
        check(format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature)), TokenError::Signature);
    }
}

#[test]
fn a_key_that_comes_along_is_not_believed() {
    let foreign = TestKey::foreign();
    let jwk = json!({ "kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(foreign.pair.public_key_raw()) });
    let by_stranger =
        |header: Value| foreign.sign_raw(Algorithm::RS256, &header.to_string(), claims().to_string().as_bytes());
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5t", json!("AAAA")),
    ] {
        check(by_stranger(json!({ "alg": "RS256", name: value })), TokenError::Signature);
        check(
            by_stranger(json!({ "alg": "RS256", name: value, "kid": kid(TestKey::trusted()) })),
            TokenError::Signature,
        );
        check(by_stranger(json!({ "alg": "RS256", name: value, "kid": kid(foreign) })), TokenError::Key);
    }
    let own = x5c(&[&foreign.certificate()]);
    check(by_stranger(json!({ "alg": "RS256", "x5c": own, "kid": kid(TestKey::trusted()) })), TokenError::Key);
    // The trusted leaf in front, the stranger's signature behind.
    let leaf = x5c(&[&TestKey::trusted().certificate()]);
    check(by_stranger(json!({ "alg": "RS256", "x5c": leaf })), TokenError::Signature);
    // A stranger's certificate that bears the name of a trusted one.
    let namesake = foreign.issued_by(foreign, "leaf", &params("leaf"));
    check(
        by_stranger(json!({ "alg": "RS256", "x5c": x5c(&[&namesake, &TestKey::trusted().certificate()]) })),
        TokenError::Key,
    );
    for broken in [json!([]), json!(["AAAA"]), json!(["!"]), json!(vec![leaf[0].clone(); 5])] {
        check(under(json!({ "alg": "RS256", "x5c": broken })), TokenError::Key);
    }
    for broken in [json!("AAAA"), json!([1]), json!({})] {
        check(under(json!({ "alg": "RS256", "x5c": broken })), TokenError::Malformed);
    }
}

#[test]
fn a_key_id_is_only_looked_up() {
    for kid in ["../../../../etc/passwd", "/dev/null", "x' OR '1'='1", "a b", "", &"A".repeat(4096), "\u{0}", "none"] {
        check(under(json!({ "alg": "RS256", "kid": kid })), TokenError::Key);
    }
    check(under(json!({ "alg": "RS256", "kid": 7 })), TokenError::Malformed);
    check(under(json!({ "alg": "RS256", "kid": kid(TestKey::p256()) })), TokenError::Algorithm);
    let absent = TestKey::foreign().sign(&claims());
    check(absent, TokenError::Signature);
    // Another trusted key of the same kind: named is named.
    let two = verifier(&[&TestKey::trusted().public_pem(), &TestKey::foreign().public_pem()]);
    let token = under(json!({ "alg": "RS256", "kid": kid(TestKey::foreign()) }));
    assert_eq!(two.verify(token.as_bytes()).err(), Some(TokenError::Signature));
}

#[test]
fn a_header_that_changes_the_meaning_is_refused() {
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", Value::Null),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("typ", json!("JWE")),
        ("typ", json!("at+jwt")),
        ("typ", json!(1)),
    ] {
        check(under(json!({ "alg": "RS256", name: value })), TokenError::Malformed);
    }
    check(under(json!({ "typ": "JWT" })), TokenError::Malformed);
    check(under(json!({ "alg": ["RS256"] })), TokenError::Malformed);
    let twice = |header: &str| TestKey::trusted().sign_raw(Algorithm::RS256, header, claims().to_string().as_bytes());
    check(twice(r#"{"alg":"RS256","alg":"RS256"}"#), TokenError::Malformed);
    check(twice(r#"{"alg":"RS256","Alg":"none"}"#), TokenError::Malformed);
    check(twice(r#"{"alg":"RS256","x":1,"x":2}"#), TokenError::Malformed);
    check(twice("[]"), TokenError::Malformed);
    check(twice(r#"["RS256",null,null,null,false]"#), TokenError::Malformed);
}

#[test]
fn encrypted_and_nested_tokens_are_refused() {
    let token = under(json!({ "alg": "RS256" }));
    let parts: Vec<_> = token.split('.').collect();
    check(format!("{}.{}.{}.{}.{}", parts[0], parts[1], parts[1], parts[1], parts[2]), TokenError::Malformed);
    check(saying(&token), TokenError::Malformed);
    check(saying(json!(token).to_string()), TokenError::Malformed);
}

#[test]
fn repeated_claims_are_refused() {
    let text = claims().to_string();
    let with = |more: &str| format!("{},{more}}}", text.strip_suffix('}').unwrap());
    gate().verify(saying(with(r#""more":1"#)).as_bytes()).unwrap();
    for more in [r#""exp":4000000000"#, r#""Exp":4000000000"#, r#""\u0065xp":4000000000"#, r#""more":{"a":1,"a":2}"#] {
        check(saying(with(more)), TokenError::Malformed);
    }
    check(saying(with(&format!(r#""more":{}{}"#, "[".repeat(20), "]".repeat(20)))), TokenError::Malformed);
}

#[test]
fn times_are_whole_seconds_of_a_calendar() {
    for name in ["exp", "nbf", "iat"] {
        let times =
            ["\"1800000300\"", "1800000300.5", "1800000300.0", "18e8", "1e400", "-1", "-1800000300", "true", "[]"];
        let beyond = ["253402300800", "9223372036854775808", "18446744073709551616", "null", "{}", "\"\""];
        for time in times.into_iter().chain(beyond) {
            check(saying(claims_text(name, time)), TokenError::Malformed);
        }
    }
    check(saying(claims_but("exp", Value::Null).to_string()), TokenError::Malformed);
}

#[test]
fn a_token_from_the_future_does_not_live_yet() {
    let signed = gate().verify(saying(claims_but("nbf", json!(NOW.0 + 61)).to_string()).as_bytes()).unwrap();
    assert_eq!(signed.at(NOW).err(), Some(TokenError::NotYet));
    assert!(signed.at(Timestamp(NOW.0 + 1)).is_ok());
}

#[test]
fn issuer_and_audience_are_exact() {
    for issuer in ["gitlab-issuer/", "gitlab-issuer ", "Gitlab-Issuer", "", "gitlab-issuer\u{0}"] {
        check(saying(claims_but("iss", json!(issuer)).to_string()), TokenError::Issuer);
    }
    for issuer in [json!(["gitlab-issuer"]), json!(1), Value::Null] {
        check(saying(claims_but("iss", issuer).to_string()), TokenError::Malformed);
    }
    for audience in
        [json!("other"), json!("container_registry/"), json!(""), json!([]), json!(["other", "container"]), Value::Null]
    {
        check(saying(claims_but("aud", audience).to_string()), TokenError::Audience);
    }
    for audience in [json!(1), json!([1]), json!([["container_registry"]]), json!({ "a": "container_registry" })] {
        check(saying(claims_but("aud", audience).to_string()), TokenError::Malformed);
    }
}

#[test]
fn claims_have_the_types_they_have() {
    for (name, value) in [
        ("sub", json!(1)),
        ("sub", json!(["ada"])),
        ("jti", json!(1)),
        ("auth_type", json!({})),
        ("user", json!({ "user_id": 1 })),
        ("access", json!({})),
        ("access", json!("repository:group/project:pull")),
        ("access", json!([{ "type": "repository", "name": "g/p", "actions": "pull" }])),
        ("access", json!([{ "type": "repository", "name": ["g/p"], "actions": ["pull"] }])),
        ("access", json!([{ "type": "repository", "actions": ["pull"] }])),
        ("access", json!([{ "name": "g/p", "actions": ["pull"] }])),
        ("access", json!([["repository", null, "g/p", ["pull"], null]])),
    ] {
        check(saying(claims_but(name, value).to_string()), TokenError::Malformed);
    }
    check(saying("[]"), TokenError::Malformed);
    let in_order = r#"["gitlab-issuer","container_registry","ada",1800000300,null,null,null,null,null,[]]"#;
    check(saying(in_order), TokenError::Malformed);
    check(saying(""), TokenError::Malformed);
}

#[test]
fn a_token_has_one_spelling() {
    let token = under(json!({ "alg": "RS256" }));
    for spelling in [
        format!("{token}."),
        format!(".{token}"),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}="),
        format!("{token}=="),
        token.replacen('.', "=.", 1),
        token.replacen('.', "..", 1),
        token.replacen('.', ".\n", 1),
        format!("Bearer {token}"),
        String::new(),
        "..".to_owned(),
    ] {
        check(spelling, TokenError::Malformed);
    }
    // 256 bytes leave four bits of the last character without meaning.
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = alphabet.find(last).unwrap();
    for stray in 1..4 {
        check(format!("{rest}{}", alphabet.as_bytes()[position + stray] as char), TokenError::Malformed);
    }
    check(token.replace('-', "+").replace('_', "/").into_bytes(), TokenError::Malformed);
}

#[test]
fn a_token_beyond_the_bound_is_refused_though_its_signature_is_right() {
    check(saying(claims_but("pad", json!("x".repeat(75 * 1024))).to_string()), TokenError::Malformed);
    check(saying(claims_but("pad", json!("x".repeat(13 * 1024))).to_string()), TokenError::Malformed);
    gate().verify(saying(claims_but("pad", json!("x".repeat(8 * 1024))).to_string()).as_bytes()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_change_of_a_token_is_refused(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut token = under(json!({ "alg": "RS256", "typ": "JWT", "kid": kid(TestKey::trusted()) })).into_bytes();
        let position = position.index(token.len());
        prop_assume!(token[position] != byte);
        token[position] = byte;
        prop_assert!(gate().verify(&token).is_err());
    }
}
