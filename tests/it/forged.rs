//! Tokens that nobody issued, or not for this: each is answered as registries answer it, and none goes further.
//!
//! Every one is tried where it would do most harm, at an upload whose ticket goes with it, and on a pull.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, START, Stage};
use crate::support::tokens::{Key, SERVICE, claims_of, message};

const PULL: &str = "repository:group/project:pull";

fn good() -> Value {
    claims_of("ada", REPOSITORY, &["pull", "push"], START.0)
}

/// Good claims with one of them another, or taken out with null.
fn but(name: &str, value: Value) -> String {
    let mut claims = good();
    claims.as_object_mut().unwrap().retain(|claim, _| claim != name || !value.is_null());
    if !value.is_null() {
        claims[name] = value;
    }
    claims.to_string()
}

/// Good claims with the raw text of one of them replaced.
fn raw(name: &str, text: &str) -> String {
    but(name, json!("@here")).replace("\"@here\"", text)
}

fn signed(payload: &str) -> String {
    Key::authority().sign(payload)
}

/// Signed by the authority's key under a header with these members too.
fn headed(key: &Key, members: Value) -> String {
    let mut header = json!({ "alg": "RS256", "typ": "JWT", "kid": Key::authority().kid() });
    header.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    key.sign_as(Algorithm::RS256, &header.to_string(), good().to_string().as_bytes())
}

fn unsigned(alg: &str, signature: &str) -> String {
    let header = json!({ "alg": alg, "typ": "JWT", "kid": Key::authority().kid() });
    format!("{}.{signature}", message(&header.to_string(), good().to_string().as_bytes()))
}

fn hmac(secret: &[u8]) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": Key::authority().kid() });
    let message = message(&header.to_string(), good().to_string().as_bytes());
    let key = EncodingKey::from_secret(secret);
    format!("{message}.{}", jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap())
}

/// Tries each of them on an upload that is open and on a manifest.
async fn all_refused(forged: impl IntoIterator<Item = (&'static str, String)>) {
    let stage = Stage::new().await;
    let location = stage.open(&stage.token("ada", PUSH).await).await;
    let mut connection = stage.gateway.connect().await;
    for (what, token) in forged {
        let asks = [
            (Ask::new("PATCH", &location).token(&token).body("layer"), PUSH),
            (Ask::new("GET", "/v2/group/project/manifests/latest").token(&token), PULL),
        ];
        for (ask, scope) in asks {
            let answer = connection.send(ask).await;
            assert_eq!(answer.status, 401, "{what}: {answer:?}");
            let challenge = crate::support::stage::challenge(scope, "invalid_token");
            assert_eq!(answer.header("www-authenticate"), challenge, "{what}");
        }
    }
    assert_eq!(stage.registry.requests().len(), 1, "the registry heard of more than the upload's opening");
}

#[tokio::test]
async fn what_the_forged_ones_are_made_from_is_let_through() {
    let stage = Stage::new().await;
    let location = stage.open(&signed(&good().to_string())).await;
    stage.goes_on(&location, &headed(Key::authority(), json!({}))).await;
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let algs = ["none", "None", "nOnE", "NONE"];
    let bare = algs.map(|alg| (alg, unsigned(alg, "")));
    let real = signed(&good().to_string());
    let signature = real.rsplit('.').next().unwrap();
    all_refused(bare.into_iter().chain(algs.map(|alg| (alg, unsigned(alg, signature))))).await;
}

#[tokio::test]
async fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
    let pem = &Key::authority().public;
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).unwrap();
    let certificate = &Key::authority().certificate;
    let secrets = [("PEM", pem.as_bytes()), ("DER", &der), ("certificate", certificate.as_bytes())];
    all_refused(secrets.map(|(what, secret)| (what, hmac(secret)))).await;
}

#[tokio::test]
async fn a_token_of_a_foreign_key_is_refused_whatever_its_header_says_of_the_key() {
    let foreign = Key::foreign();
    let jwk = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": foreign.kid() });
    let chain: String = foreign.certificate.lines().filter(|line| !line.starts_with('-')).collect();
    all_refused([
        ("its own kid", foreign.sign(&good().to_string())),
        ("the authority's kid", headed(foreign, json!({}))),
        ("no kid", headed(foreign, json!({ "kid": null }))),
        ("jwk", headed(foreign, json!({ "kid": null, "jwk": jwk }))),
        ("jku", headed(foreign, json!({ "jku": "http://127.0.0.1/keys" }))),
        ("x5u", headed(foreign, json!({ "x5u": "http://127.0.0.1/chain" }))),
        ("x5c", headed(foreign, json!({ "x5c": [chain] }))),
        ("the gateway's own", Key::signing().sign(&good().to_string())),
    ])
    .await;
}

#[tokio::test]
async fn a_token_whose_algorithm_is_not_the_keys_is_refused() {
    let of = |alg: &str, with: Algorithm| {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": Key::authority().kid() });
        Key::authority().sign_as(with, &header.to_string(), good().to_string().as_bytes())
    };
    all_refused([
        ("RS384", of("RS384", Algorithm::RS384)),
        ("RS512", of("RS512", Algorithm::RS512)),
        ("PS256", of("PS256", Algorithm::PS256)),
        ("ES256 of nothing", unsigned("ES256", &URL_SAFE_NO_PAD.encode([0; 64]))),
        ("another word", of("rs256", Algorithm::RS256)),
    ])
    .await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let rows =
        [json!("dependency_proxy"), json!([]), json!(["a", "b"]), json!(""), json!("CONTAINER_REGISTRY"), json!(7)];
    let rows = rows.map(|audience| ("audience", signed(&but("aud", audience))));
    all_refused(rows.into_iter().chain([("no audience", signed(&but("aud", Value::Null)))])).await;
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    let rows = ["gitlab-issuer/", "gitlab", "GITLAB-ISSUER", "", " gitlab-issuer"];
    let rows = rows.map(|issuer| ("issuer", signed(&but("iss", json!(issuer)))));
    all_refused(rows.into_iter().chain([("no issuer", signed(&but("iss", Value::Null)))])).await;
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_is_refused() {
    all_refused([
        ("a minute and a second", signed(&but("nbf", json!(START.0 + 61)))),
        ("a day", signed(&but("nbf", json!(START.0 + 86_400)))),
        ("a text", signed(&but("nbf", json!("1800000000")))),
    ])
    .await;
}

#[tokio::test]
async fn a_token_whose_end_cannot_be_read_is_refused() {
    let texts = ["\"1800000300\"", "1800000300.5", "1e400", "-1", "[]", "true", "99999999999999999999"];
    let rows = texts.map(|text| (text, signed(&raw("exp", text))));
    all_refused(rows.into_iter().chain([("no end", signed(&but("exp", Value::Null)))])).await;
}

#[tokio::test]
async fn a_token_that_two_readers_would_read_differently_is_refused() {
    let twice = good().to_string().replacen('{', &format!("{{\"aud\":\"{SERVICE}\","), 1);
    let whole = signed(&good().to_string());
    let (message, signature) = whole.rsplit_once('.').unwrap();
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    // 256 bytes leave four bits of the last character without a meaning.
    let last = signature.chars().last().unwrap();
    let stray = format!("{}{}", whole.strip_suffix(last).unwrap(), char::from(last as u8 + 1));
    all_refused([
        ("a claim twice", signed(&twice)),
        ("crit", headed(Key::authority(), json!({ "crit": ["exp"] }))),
        ("b64", headed(Key::authority(), json!({ "b64": false }))),
        ("a nested token", headed(Key::authority(), json!({ "cty": "JWT" }))),
        ("an encrypted token", format!("{whole}.AA.AA")),
        ("a dot at the end", format!("{whole}.")),
        ("two parts", message.to_owned()),
        ("padding", format!("{message}.{padded}")),
        ("stray bits", stray),
        ("no JSON", signed("{")),
        ("another type", headed(Key::authority(), json!({ "typ": "at+jwt" }))),
    ])
    .await;
}

#[tokio::test]
async fn a_token_whose_kid_is_no_name_is_refused() {
    let kids = ["../../etc/passwd", "' OR '1'='1", "", "a\u{0}b", &"k".repeat(4096)].map(str::to_owned);
    all_refused(kids.map(|kid| ("kid", headed(Key::authority(), json!({ "kid": kid }))))).await;
}

#[tokio::test]
async fn a_token_that_is_far_too_long_is_refused() {
    all_refused([("32 KiB", signed(&but("jti", json!("x".repeat(24 * 1024)))))]).await;
}

#[tokio::test]
async fn two_tokens_at_once_are_refused() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let token = signed(&good().to_string());
        let ask = Ask::new("GET", "/v2/group/project/manifests/latest").token(&token).token(&token);
        // Two readers could believe different ones, which no new token mends.
        assert_eq!(stage.send(ask).await.status, 400, "{door:?}");
        assert_eq!(stage.registry.requests().len(), 0);
    }
}
