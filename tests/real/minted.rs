//! Registry tokens in front of the registries they are made for, and our verdict on tokens beside theirs.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SignatureAlgorithm};
use serde_json::{Value, json};
use tidegate::base::clock::{Clock, Timestamp};
use tidegate::oci::access::{Action, ResourceActions};
use tidegate::token::claims::Claims;
use tidegate::token::keys::VerifyingKeys;
use tidegate::token::minter::Minter;
use tidegate::token::verifier::{Standing, Verifier};

use crate::registry::{ISSUER, Registry, Release, SERVICE};

const UPLOADS: &str = "/v2/group/project/blobs/uploads/";

/// Both registries, started with this bundle. One that is missing is an error where everything must be there.
async fn registries(bundle: &str) -> Vec<(Release, Registry)> {
    let mut running = Vec::new();
    for release in [Release::V2, Release::V3] {
        match release.find() {
            Some(program) => running.push((release, Registry::start(program, bundle).await)),
            None => assert!(std::env::var_os("CI").is_none(), "{release:?} is missing: run tests/parts.sh"),
        }
    }
    running
}

fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    if algorithm == &rcgen::PKCS_RSA_SHA256 {
        return KeyPair::generate_rsa_for(algorithm, rcgen::RsaKeySize::_2048).unwrap();
    }
    KeyPair::generate_for(algorithm).unwrap()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn minter(key: &KeyPair, chain: &str) -> Minter {
    Minter::new(key.serialize_pem().as_bytes(), chain.as_bytes(), Duration::from_secs(600)).unwrap()
}

/// A client token's claims with pull and push on `group/project`, and pull on another.
fn source(now: Timestamp) -> Value {
    json!({
        "iss": ISSUER, "aud": SERVICE, "sub": "ada", "exp": now.0 + 300, "nbf": now.0 - 5, "iat": now.0,
        "access": [
            { "type": "repository", "name": "group/project", "actions": ["pull", "push"], "meta": { "project_id": 7 } },
            { "type": "repository", "name": "group/other", "actions": ["*"] },
        ],
    })
}

#[tokio::test]
async fn minted_tokens_are_taken_by_every_registry_and_for_no_more_than_they_say() {
    let mut bundle = String::new();
    let mut minters = Vec::new();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256] {
        let alone = key(algorithm);
        let leaf = named("alone").self_signed(&alone).unwrap().pem();
        bundle.push_str(&leaf);
        minters.push((format!("{algorithm:?} self-signed"), minter(&alone, &leaf)));

        let root = key(algorithm);
        bundle.push_str(&authority("root").self_signed(&root).unwrap().pem());
        let below = key(algorithm);
        let issued = named("leaf").signed_by(&below, &Issuer::new(authority("root"), &root)).unwrap().pem();
        minters.push((format!("{algorithm:?} under a root"), minter(&below, &issued)));

        let (middle, lowest) = (key(algorithm), key(algorithm));
        let middle_pem = authority("middle").signed_by(&middle, &Issuer::new(authority("root"), &root)).unwrap().pem();
        let lowest_pem = named("lowest").signed_by(&lowest, &Issuer::new(authority("middle"), &middle)).unwrap().pem();
        minters.push((format!("{algorithm:?} with an intermediate"), minter(&lowest, &(lowest_pem + &middle_pem))));
    }
    let stranger = key(&rcgen::PKCS_ECDSA_P256_SHA256);
    let stranger = minter(&stranger, &named("alone").self_signed(&stranger).unwrap().pem());

    let now = Clock::System.now();
    let claims = Claims::parse(source(now).to_string().as_bytes()).unwrap();
    let push = claims.narrowed(&[ResourceActions::repository("group/project", &[Action::Pull, Action::Push])]);
    let pull = claims.narrowed(&[ResourceActions::repository("group/project", &[Action::Pull])]);
    let wildcard = claims.narrowed(&[ResourceActions::repository("group/other", &[Action::Pull, Action::Push])]);
    for (release, registry) in registries(&bundle).await {
        for (name, minter) in &minters {
            let mint = |access: &[_]| minter.mint(&claims, SERVICE, access, now).unwrap().token;
            let what = format!("{release:?}, {name}");
            assert_eq!(registry.status("GET", "/v2/", mint(&[]).expose()).await, 200, "{what}");
            assert_eq!(registry.status("POST", UPLOADS, mint(&push).expose()).await, 202, "{what}");
            assert_eq!(registry.status("POST", UPLOADS, mint(&pull).expose()).await, 401, "{what}");
            assert_eq!(registry.status("POST", UPLOADS, mint(&wildcard).expose()).await, 401, "{what}");
            let other = UPLOADS.replace("project", "other");
            assert_eq!(registry.status("POST", &other, mint(&wildcard).expose()).await, 202, "{what}");
        }
        let foreign = stranger.mint(&claims, SERVICE, &push, now).unwrap().token;
        assert_eq!(registry.status("POST", UPLOADS, foreign.expose()).await, 401, "{release:?}");
    }
}

/// A token that names its key by `kid` alone.
fn by_kid(pair: &KeyPair, kid: &str, claims: &str) -> String {
    let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
    header.kid = Some(kid.to_owned());
    let encoding = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let claims: Value = serde_json::from_str(claims).unwrap();
    jsonwebtoken::encode(&header, &claims, &encoding).unwrap()
}

#[tokio::test]
async fn each_registry_knows_a_key_by_one_of_the_names_we_give_it() {
    let pair = key(&rcgen::PKCS_ECDSA_P256_SHA256);
    let certificate = named("key").self_signed(&pair).unwrap().pem();
    let mut keys = VerifyingKeys::default();
    keys.add(certificate.as_bytes()).unwrap();
    let (libtrust, thumbprints): (Vec<_>, Vec<_>) = keys.ids().map(|id| id.as_str()).partition(|id| id.contains(':'));
    let claims = source(Clock::System.now()).to_string();
    for (release, registry) in registries(&certificate).await {
        let taken =
            async |kid: &str| registry.status("GET", "/v2/", by_kid(&pair, kid, &claims).as_bytes()).await == 200;
        assert_eq!(taken(libtrust[0]).await, release == Release::V2, "{release:?}");
        // Of a key with two thumbprints distribution knows the one without leading zeros, which comes last.
        assert_eq!(taken(thumbprints[thumbprints.len() - 1]).await, release == Release::V3, "{release:?}");
    }
}

/// What we say of a token, beside what the registries say; where they differ the row says so.
#[tokio::test]
async fn what_lives_for_us_is_accepted_by_the_registries() {
    let pair = key(&rcgen::PKCS_ECDSA_P256_SHA256);
    let certificate = named("key").self_signed(&pair).unwrap();
    let mut keys = VerifyingKeys::default();
    keys.add(certificate.pem().as_bytes()).unwrap();
    let verifier =
        Verifier { keys, issuer: ISSUER.to_owned(), service: SERVICE.to_owned(), leeway: Duration::from_secs(60) };
    let now = Clock::System.now();
    let but = |name: &str, value: Value| {
        let mut claims = source(now);
        claims[name] = value;
        claims
    };
    let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
    header.x5c = Some(vec![base64::Engine::encode(&base64::prelude::BASE64_STANDARD, certificate.der())]);
    let encoding = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    // Far enough from the edges for a slow machine: 40 s.
    let rows = [
        ("as it is", source(now), (true, true, true)),
        ("expired within the leeway", but("exp", json!(now.0 - 20)), (true, true, true)),
        ("expired beyond it", but("exp", json!(now.0 - 61)), (false, false, false)),
        ("not yet, within the leeway", but("nbf", json!(now.0 + 59)), (true, true, true)),
        ("not yet, beyond it", but("nbf", json!(now.0 + 100)), (false, false, false)),
        ("another issuer", but("iss", json!("gitlab-issuer/")), (false, false, false)),
        ("another audience", but("aud", json!("other")), (false, false, false)),
        ("an audience among several", but("aud", json!(["other", SERVICE])), (true, false, true)),
        ("no subject", but("sub", Value::Null), (true, true, true)),
        ("an empty access list", but("access", json!([])), (true, true, true)),
        ("a fraction of a second", but("exp", json!(now.0 as f64 + 300.5)), (false, false, false)),
        ("a time in quotes", but("exp", json!((now.0 + 300).to_string())), (false, false, false)),
    ];
    let running = registries(&certificate.pem()).await;
    for (what, claims, (ours, v2, v3)) in rows {
        let token = jsonwebtoken::encode(&header, &claims, &encoding).unwrap();
        let standing = verifier.verify(token.as_bytes()).and_then(|signed| signed.at(now));
        assert_eq!(matches!(standing, Ok(Standing::Living(_))), ours, "ours: {what}");
        for (release, registry) in &running {
            let expected = if *release == Release::V2 { v2 } else { v3 };
            let status = registry.status("GET", "/v2/", token.as_bytes()).await;
            assert_eq!(status, if expected { 200 } else { 401 }, "{release:?}: {what}");
        }
    }
}
