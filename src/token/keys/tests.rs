use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::token::testing::{TestKey, claims, params, verifier};

/// The JWK of an EC test key.
fn jwk(key: &TestKey, more: Value) -> Value {
    let point = &key.pair.public_key_raw()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let crv = if x.len() == 32 { "P-256" } else { "P-384" };
    let mut jwk = json!({ "kty": "EC", "crv": crv, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
    jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    jwk
}

fn rsa_jwk(key: &TestKey, more: Value) -> Value {
    let (_, public) = x509_parser::public_key::RSAPublicKey::from_der(key.pair.public_key_raw()).unwrap();
    let n = public.modulus.strip_prefix(&[0]).unwrap();
    let mut jwk = json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(public.exponent) });
    jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    jwk
}

use x509_parser::prelude::FromDer;

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn add(content: &str) -> Result<VerifyingKeys, KeyError> {
    let mut keys = VerifyingKeys::default();
    keys.add(content.as_bytes()).map(|()| keys)
}

/// Whether a token of `algorithm`, naming `kid`, is believed where `file` is trusted.
fn believed(file: &str, key: &TestKey, algorithm: Algorithm, kid: Option<&str>) -> Result<(), TokenError> {
    let mut header = json!({ "alg": format!("{algorithm:?}") });
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let token = key.sign_raw(algorithm, &header.to_string(), claims().to_string().as_bytes());
    verifier(&[file]).verify(token.as_bytes()).map(|_| ())
}

#[test]
fn a_jwk_set_gives_keys_under_their_own_names_and_under_ours() {
    let file = set(&[jwk(TestKey::p256(), json!({ "kid": "own:1", "use": "sig", "alg": "ES256" }))]);
    assert_eq!(believed(&file, TestKey::p256(), Algorithm::ES256, Some("own:1")), Ok(()));
    let ours = add(&TestKey::p256().public_pem()).unwrap();
    for id in ours.ids() {
        assert_eq!(believed(&file, TestKey::p256(), Algorithm::ES256, Some(id.as_str())), Ok(()));
    }
    assert_eq!(believed(&file, TestKey::p256(), Algorithm::ES256, Some("own:2")), Err(TokenError::Key));
}

#[test]
fn each_key_is_pinned_to_one_algorithm() {
    use Algorithm::{ES384, RS256, RS384, RS512};
    let key = TestKey::trusted();
    let plain = set(&[rsa_jwk(key, json!({}))]);
    let pinned = set(&[rsa_jwk(key, json!({ "alg": "RS384" }))]);
    for file in [&plain, &key.public_pem(), &key.certificate().pem()] {
        assert_eq!(believed(file, key, RS256, None), Ok(()));
        assert_eq!(believed(file, key, RS384, None), Err(TokenError::Algorithm));
        assert_eq!(believed(file, key, RS512, None), Err(TokenError::Algorithm));
    }
    assert_eq!(believed(&pinned, key, RS384, None), Ok(()));
    assert_eq!(believed(&pinned, key, RS256, None), Err(TokenError::Algorithm));
    let pinned = set(&[rsa_jwk(key, json!({ "alg": "RS512" }))]);
    assert_eq!(believed(&pinned, key, RS512, None), Ok(()));
    let p384 = TestKey::p384();
    for file in [p384.public_pem(), set(&[jwk(p384, json!({}))]), set(&[jwk(p384, json!({ "alg": "ES384" }))])] {
        assert_eq!(believed(&file, p384, ES384, None), Ok(()));
    }
}

#[test]
fn entries_that_sign_no_registry_tokens_are_left_out() {
    let good = jwk(TestKey::p256(), json!({ "kid": "good" }));
    let others = [
        json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "hmac" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32]) }),
        jwk(TestKey::p384(), json!({ "use": "enc" })),
        jwk(TestKey::p384(), json!({ "alg": "ES256" })),
        rsa_jwk(TestKey::trusted(), json!({ "alg": "PS256" })),
        rsa_jwk(TestKey::trusted(), json!({ "alg": "RSA-OAEP" })),
        json!({ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }),
        json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB" }),
    ];
    for other in &others {
        assert_eq!(add(&set(std::slice::from_ref(other))).err(), Some(KeyError::Unsupported), "{other}");
    }
    let all = [&others[..], &[good]].concat();
    assert_eq!(add(&set(&all)).unwrap().keys.len(), 1);
}

#[test]
fn files_that_hold_no_usable_key_are_told_apart() {
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let key = TestKey::p256();
    let private = format!("{}{}", key.certificate().pem(), key.private_pem());
    for (content, error) in [
        ("", KeyError::Unreadable),
        ("rubbish", KeyError::Unreadable),
        ("{\"keys\":[", KeyError::Unreadable),
        ("{}", KeyError::Unreadable),
        ("{\"keys\":[]}", KeyError::Unsupported),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", KeyError::Unreadable),
        (&ed25519.public_key_pem(), KeyError::Unsupported),
        (&params("ed").self_signed(&ed25519).unwrap().pem(), KeyError::Unsupported),
        (&private, KeyError::Private),
        (&set(&[jwk(key, json!({ "d": "AAAA" }))]), KeyError::Private),
        (&set(&[jwk(key, json!({ "kid": "a b" }))]), KeyError::KeyId(KeyIdError)),
    ] {
        assert_eq!(add(content).err(), Some(error), "{content}");
    }
}

#[test]
fn a_file_that_is_refused_adds_nothing() {
    let mut keys = VerifyingKeys::default();
    let half = format!("{}{}", TestKey::p256().certificate().pem(), TestKey::p256().private_pem());
    assert_eq!(keys.add(half.as_bytes()), Err(KeyError::Private));
    assert!(keys.is_empty());
}

#[test]
fn a_bundle_gives_all_its_keys_and_each_once() {
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let bundle = [
        TestKey::trusted().certificate().pem(),
        params("ed").self_signed(&ed25519).unwrap().pem(),
        TestKey::p256().authority("ca").pem(),
        TestKey::p256().public_pem(),
    ];
    let keys = add(&bundle.concat()).unwrap();
    assert_eq!((keys.keys.len(), keys.authorities.len()), (2, 1));
    assert!(!keys.is_empty());
}

#[test]
fn the_number_of_keys_is_bounded() {
    let keys: Vec<_> = (0..65).map(|_| TestKey::new(Algorithm::ES256).public_pem()).collect();
    assert_eq!(add(&keys[..64].concat()).unwrap().keys.len(), 64);
    assert_eq!(add(&keys.concat()).err(), Some(KeyError::TooMany));
}

#[test]
fn a_token_that_names_no_key_is_tried_with_eight() {
    let keys: Vec<_> = (0..9).map(|_| TestKey::new(Algorithm::ES256)).collect();
    let file: String = keys.iter().map(TestKey::public_pem).collect();
    assert_eq!(believed(&file, &keys[7], Algorithm::ES256, None), Ok(()));
    assert_eq!(believed(&file, &keys[8], Algorithm::ES256, None), Err(TokenError::Signature));
}

#[test]
fn a_key_that_came_twice_answers_to_every_name_it_was_given() {
    let key = TestKey::p256();
    let mut keys = add(&key.public_pem()).unwrap();
    keys.add(set(&[jwk(key, json!({ "kid": "second" }))]).as_bytes()).unwrap();
    assert_eq!(keys.keys.len(), 1);
    assert!(keys.ids().any(|id| id.as_str() == "second"));
}
