use serde_json::{Value, json};

use super::*;
use crate::token::testing::{NOW, TestKey, claims, claims_but, verifier};
use crate::token::verifier::{Standing, Verifier};

fn gate() -> Verifier {
    verifier(&[&TestKey::trusted().public_pem()])
}

fn identity_at(gate: &Verifier, claims: &Value) -> Identity {
    let signed = gate.verify(TestKey::trusted().sign(claims).as_bytes()).unwrap();
    match signed.at(NOW).unwrap() {
        Standing::Living(verified) => verified.identity(),
        Standing::Lapsed(lapsed) => lapsed.identity(),
    }
}

fn identity(claims: &Value) -> Identity {
    identity_at(&gate(), claims)
}

/// GitLab's nested token, over for an hour.
fn user(key: &TestKey, info: Value) -> String {
    key.sign(&json!({ "jti": "x", "iat": NOW.0 - 3660, "nbf": NOW.0 - 3665, "exp": NOW.0 - 3600, "user_info": info }))
}

fn deploy_token(id: u64, jti: &str) -> Value {
    let info = json!({ "token_type": "deploy_token", "username": "gitlab+deploy-token", "deploy_token_id": id });
    let mut claims = claims_but("sub", Value::Null);
    claims["auth_type"] = json!("deploy_token");
    claims["jti"] = json!(jti);
    claims["user"] = json!(user(TestKey::trusted(), info));
    claims
}

#[test]
fn a_renewed_token_is_of_the_same_holder() {
    let mut renewed = claims();
    renewed["jti"] = json!("another");
    renewed["iat"] = json!(NOW.0 + 200);
    renewed["exp"] = json!(NOW.0 + 500);
    renewed["access"] = json!([]);
    assert_eq!(identity(&claims()), identity(&renewed));
}

#[test]
fn another_subject_kind_of_credential_or_service_is_another_holder() {
    let ada = identity(&claims());
    for (name, value) in [("sub", json!("bob")), ("auth_type", json!("build")), ("auth_type", Value::Null)] {
        assert_ne!(ada, identity(&claims_but(name, value.clone())), "{name} {value}");
    }
    let both = claims_but("aud", json!(["container_registry", "other"]));
    let elsewhere = Verifier { service: "other".to_owned(), ..gate() };
    assert_eq!(ada, identity(&both));
    assert_ne!(ada, identity_at(&elsewhere, &both));
    let issuer = Verifier { issuer: "other".to_owned(), ..gate() };
    assert_ne!(ada, identity_at(&issuer, &claims_but("iss", json!("other"))));
}

#[test]
fn one_deploy_token_is_itself_and_two_are_never_one() {
    assert_eq!(identity(&deploy_token(4, "a")), identity(&deploy_token(4, "b")));
    assert_ne!(identity(&deploy_token(4, "a")), identity(&deploy_token(5, "a")));
    let mut nameless = [deploy_token(4, "a"), deploy_token(4, "b")];
    for claims in &mut nameless {
        claims["user"] = Value::Null;
    }
    assert_ne!(identity(&nameless[0]), identity(&nameless[1]), "without an id each token is its own");
}

#[test]
fn an_id_counts_only_if_its_token_verifies() {
    let stranger = user(TestKey::foreign(), json!({ "deploy_token_id": 4 }));
    let unsigned =
        format!("{}.", user(TestKey::trusted(), json!({ "deploy_token_id": 4 })).rsplit_once('.').unwrap().0);
    for user in [stranger, unsigned, "rubbish".to_owned(), String::new()] {
        let with = |jti: &str| {
            let mut claims = deploy_token(4, jti);
            claims["user"] = json!(user);
            identity(&claims)
        };
        assert_ne!(with("a"), identity(&deploy_token(4, "a")));
        assert_ne!(with("a"), with("b"), "{user}");
    }
}

#[test]
fn the_user_id_keeps_two_users_of_one_name_apart() {
    let with = |info: Value| {
        let mut claims = claims();
        claims["user"] = json!(user(TestKey::trusted(), info));
        identity(&claims)
    };
    assert_eq!(with(json!({ "user_id": 1, "username": "ada" })), with(json!({ "user_id": 1, "username": "x" })));
    assert_ne!(with(json!({ "user_id": 1 })), with(json!({ "user_id": 2 })));
    assert_ne!(with(json!({ "user_id": 1 })), with(json!({ "deploy_token_id": 1 })));
    assert_eq!(with(Value::Null), identity(&claims()), "the anonymous have an empty `user`");
}

#[test]
fn a_token_without_any_name_is_nobodys_equal() {
    let nameless = |more: i64| {
        let mut claims = claims_but("sub", Value::Null);
        claims["jti"] = Value::Null;
        claims["iat"] = json!(more);
        identity(&claims)
    };
    assert_eq!(nameless(1), nameless(1));
    assert_ne!(nameless(1), nameless(2));
    let empty = |jti: &str, iat: i64| {
        let mut claims = claims_but("sub", json!(""));
        claims["jti"] = json!(jti);
        claims["iat"] = json!(iat);
        identity(&claims)
    };
    assert_ne!(empty("a", 1), empty("b", 1), "an empty `sub` is no name");
    assert_ne!(empty("", 1), empty("", 2), "nor is an empty `jti`");
}

#[test]
fn a_subject_cannot_pass_for_a_token_id() {
    let mut by_id = claims_but("sub", Value::Null);
    by_id["jti"] = json!("ada");
    assert_ne!(identity(&by_id), identity(&claims_but("sub", json!("ada"))));
}

#[test]
fn parts_cannot_be_shifted_into_one_another() {
    let gate = |issuer: &str, service: &str| Verifier { issuer: issuer.into(), service: service.into(), ..gate() };
    let with = |issuer: &str, service: &str| {
        let mut claims = claims();
        claims["iss"] = json!(issuer);
        claims["aud"] = json!(service);
        identity_at(&gate(issuer, service), &claims)
    };
    assert_ne!(with("ab", "c"), with("a", "bc"));
    assert_ne!(with("a\u{1}b", "c"), with("a", "b\u{1}c"), "the mark between parts is not what keeps them apart");
}
