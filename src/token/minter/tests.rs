use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::*;
use crate::token::compact::Compact;
use crate::token::testing::{NOW, TestKey, claims, params, verifier};
use crate::token::verifier::Standing;

const TTL: Duration = Duration::from_secs(600);

fn source() -> Claims {
    let mut all = claims();
    all["user"] = json!("e30.e30.c2ln");
    Claims::parse(all.to_string().as_bytes()).unwrap()
}

fn minter(key: &TestKey) -> Minter {
    Minter::new(key.private_pem().as_bytes(), key.certificate().pem().as_bytes(), TTL).unwrap()
}

fn parts(token: &Minted) -> (Value, Value) {
    let text = std::str::from_utf8(token.token.expose()).unwrap();
    let mut parts = text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}

#[test]
fn a_minted_token_is_believed_by_who_trusts_the_certificate() {
    for key in [TestKey::p256(), TestKey::trusted()] {
        let minted = minter(key).mint(&source(), "container_registry", &source().access, NOW).unwrap();
        let signed = verifier(&[&key.certificate().pem()]).verify(minted.token.expose()).unwrap();
        assert!(matches!(signed.at(NOW), Ok(Standing::Living(_))));
    }
}

#[test]
fn the_holder_is_copied_and_only_times_and_id_are_new() {
    let (source, certificate) = (source(), TestKey::p256().certificate());
    let minter = Minter::new(TestKey::p256().private_pem().as_bytes(), certificate.pem().as_bytes(), TTL).unwrap();
    let minted = minter.mint(&source, "container_registry", &source.access, NOW).unwrap();
    let (header, payload) = parts(&minted);
    assert_eq!(header["typ"], "JWT");
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["kid"], minter.key_id().as_str());
    assert_eq!(header["x5c"], json!([STANDARD.encode(certificate.der())]));
    let id = payload["jti"].as_str().unwrap();
    assert_ne!(Some(id), source.id.as_deref());
    let mut expected = claims();
    expected["jti"] = json!(id);
    expected["iat"] = json!(NOW.0);
    expected["nbf"] = json!(NOW.0 - 5);
    expected["exp"] = json!(NOW.0 + 600);
    expected["user"] = json!("e30.e30.c2ln");
    assert_eq!(payload, expected);
    assert_eq!((minted.issued_at, minted.expires), (NOW, Timestamp(NOW.0 + 600)));
    assert_eq!(minter.ttl(), TTL);
}

#[test]
fn what_the_source_does_not_say_is_not_said() {
    let bare = Claims::parse(br#"{"iss":"gitlab-issuer","aud":["container_registry","other"],"exp":1}"#).unwrap();
    let (_, payload) = parts(&minter(TestKey::p256()).mint(&bare, "container_registry", &[], NOW).unwrap());
    let mut names: Vec<_> = payload.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access", "aud", "exp", "iat", "iss", "jti", "nbf"]);
    assert_eq!(payload["aud"], "container_registry");
    assert_eq!(payload["access"], json!([]));
}

#[test]
fn meta_goes_over_byte_for_byte() {
    let odd = r#"{ "project_id":1.0,  "b":[1e2,"\u00e9"],"a":null }"#;
    let text = format!(
        r#"{{"iss":"i","aud":"s","exp":1,"access":[{{"type":"repository","name":"g/p","actions":["*"],"meta":{odd}}}]}}"#
    );
    let source = Claims::parse(text.as_bytes()).unwrap();
    let minted = minter(TestKey::p256()).mint(&source, "s", &source.access, NOW).unwrap();
    let payload = Compact::parse(minted.token.expose()).unwrap().payload().to_vec();
    assert!(String::from_utf8(payload).unwrap().contains(odd));
}

#[test]
fn no_two_tokens_have_one_id() {
    let minter = minter(TestKey::p256());
    let ids: std::collections::HashSet<_> = (0..200)
        .map(|_| parts(&minter.mint(&source(), "s", &[], NOW).unwrap()).1["jti"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 200);
    for id in ids {
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4', "{id}: version (RFC 9562 §5.4)");
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}: variant");
    }
}

#[test]
fn keys_are_read_in_every_form_that_openssl_writes() {
    let sec1 = openssl(&["ec"], TestKey::p256());
    let pkcs1 = openssl(&["rsa", "-traditional"], TestKey::trusted());
    assert!(sec1.contains("BEGIN EC PRIVATE KEY") && pkcs1.contains("BEGIN RSA PRIVATE KEY"));
    for (pem, key) in [(sec1, TestKey::p256()), (pkcs1, TestKey::trusted())] {
        Minter::new(pem.as_bytes(), key.certificate().pem().as_bytes(), TTL).unwrap();
    }
}

fn openssl(arguments: &[&str], key: &TestKey) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key.private_pem()).unwrap();
    let output = std::process::Command::new("openssl").args(arguments).arg("-in").arg(file.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn keys_and_certificates_that_cannot_sign_are_refused() {
    let p256 = TestKey::p256();
    let certificate = p256.certificate().pem();
    let new = |key: &str, certificate: &str| Minter::new(key.as_bytes(), certificate.as_bytes(), TTL).err();
    assert!(matches!(new("", &certificate), Some(MinterError::Key)));
    assert!(matches!(new(&p256.public_pem(), &certificate), Some(MinterError::Key)));
    let p384 = TestKey::p384();
    assert!(matches!(new(&p384.private_pem(), &p384.certificate().pem()), Some(MinterError::Key)));
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed25519_certificate = params("ed").self_signed(&ed25519).unwrap().pem();
    assert!(matches!(new(&ed25519.serialize_pem(), &ed25519_certificate), Some(MinterError::Key)));
    assert!(matches!(new(&p256.private_pem(), ""), Some(MinterError::Certificate)));
    assert!(matches!(new(&p256.private_pem(), &p256.private_pem()), Some(MinterError::Certificate)));
    assert!(matches!(new(&p256.private_pem(), &p384.certificate().pem()), Some(MinterError::Mismatch)));
    assert!(matches!(new(&p256.private_pem(), &TestKey::trusted().certificate().pem()), Some(MinterError::Mismatch)));
}

#[test]
fn a_key_whose_signature_does_not_verify_is_refused_before_the_first_request() {
    let another = TestKey::new(Algorithm::ES256);
    let table = [
        (TestKey::p256(), TestKey::p256(), true),
        (TestKey::trusted(), TestKey::trusted(), true),
        (TestKey::p256(), &another, false),
        (TestKey::trusted(), TestKey::foreign(), false),
        (TestKey::p256(), TestKey::trusted(), false),
        (TestKey::trusted(), TestKey::p256(), false),
    ];
    for (row, (signs, certified, proved)) in table.into_iter().enumerate() {
        let key = Key::read(signs.private_pem().as_bytes()).unwrap();
        let chain = [certified.certificate().der().clone()];
        let read = chain.each_ref().map(|der| Certificate::parse(der).unwrap());
        match Minter::on_trial(key, &chain, &read, TTL) {
            Ok(_) => assert!(proved, "row {row}"),
            Err(error) => assert!(!proved && matches!(error, MinterError::Trial), "row {row}: {error}"),
        }
    }
}

#[test]
fn a_short_rsa_key_does_not_sign() {
    let output = std::process::Command::new("openssl").args(["genrsa", "1024"]).output().unwrap();
    let pem = String::from_utf8(output.stdout).unwrap();
    let certificate = TestKey::trusted().certificate().pem();
    assert!(matches!(Minter::new(pem.as_bytes(), certificate.as_bytes(), TTL), Err(MinterError::Key)));
}

#[test]
fn the_end_of_the_first_certificate_to_end_is_known() {
    let key = TestKey::p256();
    let mut soon = params("leaf");
    soon.not_before = rcgen::date_time_ymd(2026, 1, 1);
    soon.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let leaf = key.issued_by(TestKey::trusted(), "ca", &soon);
    let chain = format!("{}{}", leaf.pem(), TestKey::trusted().authority("ca").pem());
    let minter = Minter::new(key.private_pem().as_bytes(), chain.as_bytes(), TTL).unwrap();
    assert_eq!(minter.certificate_expires(), Timestamp(1_798_761_600));
    assert_eq!(minter.certificate_begins(), Timestamp(1_767_225_600));
}

#[test]
fn nothing_of_the_key_is_shown() {
    let shown = format!("{:?}", minter(TestKey::p256()));
    assert_eq!(shown, format!("Minter {{ kid: {:?}, .. }}", minter(TestKey::p256()).key_id().as_str()));
    assert!(!format!("{:?}", minter(TestKey::p256()).mint(&source(), "s", &[], NOW).unwrap()).contains("ey"));
}

#[test]
fn only_rsa_is_costly() {
    assert!(minter(TestKey::trusted()).is_costly());
    assert!(!minter(TestKey::p256()).is_costly());
    assert_eq!(TestKey::trusted().algorithm, Algorithm::RS256);
}
