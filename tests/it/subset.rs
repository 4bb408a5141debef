//! Minted is never more than granted and needed, over random grants and requests: one entry of the client token for
//! each entry minted, everything in it copied byte for byte, no right from anywhere else.

use std::sync::OnceLock;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate::oci::access::{Action, Needed};
use tidegate::oci::route::Route;
use tidegate::policy::Renew;
use tidegate::policy::decide::{Decision, Evidence, Question, decide};
use tidegate::token::keys::VerifyingKeys;
use tidegate::token::minter::Minter;
use tidegate::token::verifier::{Standing, Verifier};

use crate::support::stage::START;
use crate::support::tokens::{ISSUER, Key, SERVICE, payload};

/// An entry of `access`, as raw as JSON allows.
#[derive(Debug, Deserialize)]
struct Entry {
    r#type: String,
    class: Option<String>,
    name: String,
    actions: Vec<String>,
    meta: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Payload {
    access: Vec<Entry>,
    sub: Option<String>,
    auth_type: Option<String>,
    user: Option<String>,
    iss: String,
}

fn entries(payload: &str) -> Payload {
    serde_json::from_str(payload).unwrap()
}

/// Few names and words, so that grants and needs meet; some that only look alike.
fn entry() -> impl Strategy<Value = String> {
    let kind = prop_oneof![8 => Just("repository"), 1 => Just("registry"), 1 => Just("Repository")];
    let name = prop_oneof![
        6 => Just("a"), 4 => Just("a/b"), 2 => Just("catalog"), 1 => Just("*"), 1 => Just("a/*"), 1 => Just("A"), 1 => Just("a/"), 1 => Just(""),
    ];
    let word = prop_oneof![4 => Just("pull"), 4 => Just("push"), 2 => Just("delete"), 2 => Just("*"), 1 => Just("admin"), 1 => Just("PULL"), 1 => Just("")];
    let class = prop_oneof![4 => Just(""), 1 => Just(r#""class":"plugin","#), 1 => Just(r#""class":null,"#)];
    let meta = prop_oneof![
        3 => Just(""),
        1 => Just(r#","meta":{"project_path":"a", "n" : 1e2,"deep":[ {} ]}"#),
        1 => Just(",\"meta\":{\"tag_deny_access_patterns\":{\"push\":[\"^v\\u0031\"]}}"),
        1 => Just(r#","meta":null"#),
    ];
    (kind, class, name, proptest::collection::vec(word, 0..4), meta).prop_map(|(kind, class, name, words, meta)| {
        format!(
            r#"{{"type":"{kind}",{class}"name":"{name}","actions":{}{meta}}}"#,
            serde_json::to_string(&words).unwrap()
        )
    })
}

fn request() -> impl Strategy<Value = (Method, String)> {
    let method = prop_oneof![
        Just(Method::GET),
        Just(Method::HEAD),
        Just(Method::POST),
        Just(Method::PUT),
        Just(Method::PATCH),
        Just(Method::DELETE),
        Just(Method::OPTIONS)
    ];
    let target = prop_oneof![
        Just("/v2/"),
        Just("/v2/_catalog"),
        Just("/v2/a/tags/list"),
        Just("/v2/a/manifests/latest"),
        Just("/v2/a/blobs/uploads/"),
        Just("/v2/a/blobs/uploads/?mount=sha256:aa&from=a/b"),
        Just("/v2/a/b/blobs/uploads/u1?from=a"),
        Just("/v2/a/blobs/uploads/?from=a&mount=sha256:aa"),
        Just("/v2/a/b/manifests/x"),
        Just("/v2/a/blobs/sha256:aa"),
    ];
    (method, target.prop_map(str::to_owned))
}

fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let mut keys = VerifyingKeys::default();
        keys.add(Key::signing().public.as_bytes()).unwrap();
        let (issuer, service) = (ISSUER.to_owned(), SERVICE.to_owned());
        Verifier { keys, issuer, service, leeway: Duration::from_secs(60) }
    })
}

fn minter() -> &'static Minter {
    static MINTER: OnceLock<Minter> = OnceLock::new();
    MINTER.get_or_init(|| {
        let key = Key::signing();
        let pem = key.pair.serialize_pem();
        Minter::new(pem.as_bytes(), key.certificate.as_bytes(), Duration::from_secs(600)).unwrap()
    })
}

/// What the request needs of one resource, by the words of the scope grammar.
fn needs(needed: &Needed, kind: &str, name: &str, word: &str) -> bool {
    let Needed::Resources(needed) = needed else { return false };
    needed.iter().any(|one| one.kind == kind && one.name == name && one.actions.contains(&Action::from(word)))
}

fn grants(entry: &Entry, word: &str) -> bool {
    entry.actions.iter().any(|held| held == word || held == "*")
}

/// Each minted entry is an entry of the source, in the same order and each used once, with fewer actions.
fn comes_from(minted: &[Entry], source: &[Entry], needed: &Needed) -> Result<(), TestCaseError> {
    let mut left = source.iter();
    for entry in minted {
        let meta = |entry: &Entry| entry.meta.as_ref().map(|meta| meta.get().to_owned());
        let own = |from: &&Entry| {
            (&from.r#type, &from.name, &from.class) == (&entry.r#type, &entry.name, &entry.class)
                && meta(from) == meta(entry)
                && entry.actions.iter().all(|word| grants(from, word))
        };
        prop_assert!(left.by_ref().find(own).is_some(), "{:?} comes from no entry of {:?}", entry, source);
        for word in &entry.actions {
            prop_assert!(needs(needed, &entry.r#type, &entry.name, word), "{word} on {entry:?} is not needed");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_minted_is_within_what_was_granted_and_what_is_needed(
        access in proptest::collection::vec(entry(), 0..5),
        (method, target) in request(),
    ) {
        let source = format!(
            r#"{{"iss":"{ISSUER}","aud":"{SERVICE}","sub":"ada","auth_type":"build","user":"e.y.x","exp":{},"access":[{}]}}"#,
            START.0 + 300,
            access.join(",")
        );
        let signed = verifier().verify(Key::signing().sign(&source).as_bytes()).unwrap();
        let Ok(Standing::Living(token)) = signed.at(START) else { panic!("it lives") };
        let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        let route = Route::classify(&method, path, query).unwrap();
        let evidence = Evidence::Living(token);
        let question = Question { method: &method, route: &route, evidence, ticket: None, renew: Renew::Resign, now: START };
        let granted = entries(&source);
        // By the grammar's words alone: every needed action stands in some entry of that resource, or a star does.
        let covered = match &*route.needed {
            Needed::Resources(needed) => needed.iter().all(|one| one.actions.iter().all(|action| {
                granted.access.iter().any(|entry| entry.r#type == one.kind && entry.name == one.name && grants(entry, action.as_str()))
            })),
            _ => true,
        };
        match decide(question) {
            Decision::Permit(permit) => {
                prop_assert!(covered, "{} {} is not granted by {:?}", method, target, granted.access);
                let minted = minter().mint(permit.claims(), SERVICE, &permit.access(), START).unwrap();
                let minted = payload(std::str::from_utf8(minted.token.expose()).unwrap());
                let minted = entries(&minted);
                comes_from(&minted.access, &granted.access, &route.needed)?;
                prop_assert_eq!((minted.iss, minted.sub, minted.auth_type, minted.user), (granted.iss, granted.sub, granted.auth_type, granted.user));
                // Nothing that was needed is missing either.
                if let Needed::Resources(needed) = &*route.needed {
                    for one in needed {
                        for action in &one.actions {
                            let shown = minted.access.iter().any(|entry| entry.name == one.name && entry.actions.iter().any(|word| word == action.as_str()));
                            prop_assert!(shown, "{one} is missing in {:?}", minted.access);
                        }
                    }
                }
            }
            Decision::Refuse(_) => prop_assert!(!covered, "{} {} is granted by {:?}", method, target, granted.access),
            Decision::Extend(_) => prop_assert!(false, "a living token needs no extension"),
        }
    }
}
