//! What is believed and what is not. The forged tokens are in `tests/forged.rs`.

mod forged;

use serde_json::{Value, json};

use super::*;
use crate::token::testing::{NOW, TestKey, authority, claims, claims_but, params, verifier, x5c};

fn at(claims: &Value, now: Timestamp) -> Result<Standing, TokenError> {
    verifier(&[&TestKey::trusted().public_pem()]).verify(TestKey::trusted().sign(claims).as_bytes()).unwrap().at(now)
}

#[test]
fn a_token_lives_from_nbf_to_exp_with_leeway_on_both_sides() {
    let after = |seconds: i64| at(&claims(), Timestamp(NOW.0 + seconds));
    assert_eq!(after(-66).err(), Some(TokenError::NotYet));
    assert!(matches!(after(-65), Ok(Standing::Living(_))));
    assert!(matches!(after(300), Ok(Standing::Living(_))));
    assert!(matches!(after(359), Ok(Standing::Living(_))));
    // A registry may look half a second after we did.
    assert!(matches!(after(360), Ok(Standing::Lapsed(_))));
    assert!(matches!(after(1_000_000), Ok(Standing::Lapsed(_))));
}

#[test]
fn a_lapsed_token_knows_when_it_lived() {
    let Ok(Standing::Lapsed(lapsed)) = at(&claims(), Timestamp(NOW.0 + 4000)) else { panic!("lives") };
    for (seconds, lived) in [(-66, false), (-65, true), (0, true), (359, true), (360, false), (4000, false)] {
        assert_eq!(lapsed.lived_at(Timestamp(NOW.0 + seconds)), lived, "{seconds}");
    }
}

#[test]
fn a_token_without_nbf_lives_until_exp() {
    let token = claims_but("nbf", Value::Null);
    assert!(matches!(at(&token, Timestamp(0)), Ok(Standing::Living(_))));
    assert!(matches!(at(&token, Timestamp(NOW.0 + 360)), Ok(Standing::Lapsed(_))));
}

#[test]
fn the_absent_subject_and_an_audience_among_several_are_tolerated() {
    for token in [claims_but("sub", Value::Null), claims_but("aud", json!(["x", "container_registry"]))] {
        assert!(matches!(at(&token, NOW), Ok(Standing::Living(_))));
    }
}

#[test]
fn every_name_of_a_key_finds_it() {
    let key = TestKey::p256();
    let verifier = verifier(&[&key.public_pem(), &TestKey::trusted().public_pem()]);
    let ids: Vec<_> = verifier.keys.ids().map(|id| id.as_str().to_owned()).take(2).collect();
    assert!(ids[0].contains(':') && !ids[1].contains(':'));
    for kid in ids {
        let header = json!({ "alg": "ES256", "kid": kid });
        let token = key.sign_raw(key.algorithm, &header.to_string(), claims().to_string().as_bytes());
        verifier.verify(token.as_bytes()).unwrap();
    }
}

#[test]
fn a_token_that_names_no_key_is_tried_with_the_keys_of_its_algorithm() {
    let files = [&TestKey::foreign().public_pem(), &TestKey::p256().public_pem(), &TestKey::trusted().public_pem()];
    verifier(&files.map(String::as_str)).verify(TestKey::trusted().sign(&claims()).as_bytes()).unwrap();
}

fn with_chain(key: &TestKey, chain: &[&rcgen::Certificate]) -> String {
    let header = json!({ "alg": format!("{:?}", key.algorithm), "typ": "JWT", "kid": "whatever", "x5c": x5c(chain) });
    key.sign_raw(key.algorithm, &header.to_string(), claims().to_string().as_bytes())
}

#[test]
fn a_chain_speaks_if_its_leaf_is_a_trusted_key_or_was_issued_by_a_trusted_certificate() {
    let (root, leaf, middle) = (TestKey::trusted(), TestKey::p256(), TestKey::p384());
    let issued = leaf.issued_by(root, "root", &params("leaf"));
    let own = verifier(&[&leaf.public_pem()]);
    own.verify(with_chain(leaf, &[&leaf.certificate()]).as_bytes()).unwrap();
    let under = verifier(&[&root.authority("root").pem()]);
    under.verify(with_chain(leaf, &[&issued]).as_bytes()).unwrap();
    under.verify(with_chain(leaf, &[&issued, &root.authority("root")]).as_bytes()).unwrap();
    let intermediate = middle.issued_by(root, "root", &authority("middle"));
    let below = leaf.issued_by(middle, "middle", &params("leaf"));
    under.verify(with_chain(leaf, &[&below, &intermediate]).as_bytes()).unwrap();
}

#[test]
fn a_chain_that_leads_nowhere_does_not_speak() {
    let (root, leaf, stranger) = (TestKey::trusted(), TestKey::p256(), TestKey::foreign());
    let under = verifier(&[&root.authority("root").pem()]);
    let refused = |chain: &[&rcgen::Certificate]| under.verify(with_chain(leaf, chain).as_bytes()).err();
    let root_certificate = root.authority("root");
    let stranger_root = stranger.authority("root");
    let by_stranger = leaf.issued_by(stranger, "root", &params("leaf"));
    assert_eq!(refused(&[&leaf.certificate()]), Some(TokenError::Key));
    assert_eq!(refused(&[&by_stranger]), Some(TokenError::Key), "a name is not a signature");
    assert_eq!(refused(&[&by_stranger, &stranger_root]), Some(TokenError::Key));
    assert_eq!(refused(&[&by_stranger, &root_certificate]), Some(TokenError::Key));
    // The leaf of a good chain may sign tokens, not certificates.
    let middle = TestKey::p384();
    let no_authority = middle.issued_by(root, "root", &params("middle"));
    let below = leaf.issued_by(middle, "middle", &params("leaf"));
    assert_eq!(refused(&[&below, &no_authority]), Some(TokenError::Key));
    // Nor more certificates than it was allowed to have beneath it.
    let mut short = authority("middle");
    short.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let short = middle.issued_by(root, "root", &short);
    let second = stranger.issued_by(middle, "middle", &authority("second"));
    let deep = leaf.issued_by(stranger, "second", &params("leaf"));
    assert_eq!(refused(&[&deep, &second, &short]), Some(TokenError::Key));
    let mut limits = authority("middle");
    limits.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![],
        excluded_subtrees: vec![rcgen::GeneralSubtree::DnsName("x".into())],
    });
    let limited = middle.issued_by(root, "root", &limits);
    assert_eq!(refused(&[&below, &limited]), Some(TokenError::Key), "a critical extension that is not understood");
}

#[test]
fn a_certificate_that_may_issue_nothing_vouches_for_nobody() {
    let (root, leaf) = (TestKey::trusted(), TestKey::p256());
    let token = with_chain(leaf, &[&leaf.issued_by(root, "root", &params("leaf"))]);
    let mut no_authority = authority("root");
    no_authority.is_ca = rcgen::IsCa::ExplicitNoCa;
    let mut other_use = authority("root");
    other_use.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    for params in [params("root"), no_authority, other_use, authority("another name")] {
        let root = params.self_signed(&root.pair).unwrap();
        assert_eq!(verifier(&[&root.pem()]).verify(token.as_bytes()).err(), Some(TokenError::Key));
    }
}

#[test]
fn a_chain_speaks_within_its_dates() {
    let (root, leaf) = (TestKey::trusted(), TestKey::p256());
    let mut dated = params("leaf");
    dated.not_before = rcgen::date_time_ymd(2027, 1, 15);
    dated.not_after = rcgen::date_time_ymd(2027, 1, 16);
    let (from, to) = (Timestamp(1_799_971_200), Timestamp(1_800_057_600));
    let far = claims_but("exp", json!(1_900_000_000));
    let header = |chain| json!({ "alg": "ES256", "x5c": x5c(&[chain]) }).to_string();
    let issued = leaf.issued_by(root, "root", &dated);
    let own = dated.self_signed(&leaf.pair).unwrap();
    let mut dated_root = authority("root");
    (dated_root.not_before, dated_root.not_after) = (dated.not_before, dated.not_after);
    let dated_root = dated_root.self_signed(&root.pair).unwrap();
    let long = leaf.issued_by(root, "root", &params("leaf"));
    let rows = [(&issued, root.authority("root").pem()), (&long, dated_root.pem()), (&own, leaf.public_pem())];
    for (certificate, trusted) in rows {
        let mut claims = far.clone();
        claims["nbf"] = json!(0);
        let token = leaf.sign_raw(leaf.algorithm, &header(certificate), claims.to_string().as_bytes());
        let signed = verifier(&[&trusted]).verify(token.as_bytes()).unwrap();
        assert_eq!(signed.at(Timestamp(from.0 - 1)).err(), Some(TokenError::NotYet));
        assert!(matches!(signed.at(from), Ok(Standing::Living(_))));
        assert!(matches!(signed.at(to), Ok(Standing::Living(_))));
        assert!(matches!(signed.at(Timestamp(to.0 + 1)), Ok(Standing::Lapsed(_))));
        assert_eq!(signed.lives_until(), to);
    }
}

#[test]
fn nothing_of_a_token_is_shown() {
    let token = TestKey::trusted().sign(&claims());
    let compact = format!("{:?}", Compact::parse(token.as_bytes()).unwrap());
    let signature = token.rsplit('.').next().unwrap();
    assert!(compact.starts_with("Compact { header: Header"), "{compact}");
    assert!(!compact.contains(signature) && !compact.contains("signature"), "{compact}");
}
