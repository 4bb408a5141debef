//! The repository that was authorised is the one that the registry acts on, whoever rewrites the path on the way, and
//! the registry gets the target as it was sent, byte for byte: random targets through the whole gateway.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::checks::route::readings;
use crate::support::client::{Door, HOST};
use crate::support::gateway::Gateway;
use crate::support::stage::{REPOSITORY, START, Stage};
use crate::support::tokens::{Key, claims, claims_of};

/// Targets through one gateway, one after the other.
const CASES: usize = 600;

/// Pieces of paths, whole and in the spellings that hops read differently.
fn target() -> impl Strategy<Value = String> {
    let name = prop_oneof![8 => Just(REPOSITORY), 2 => Just("group/other"), 1 => Just("group")];
    let odd = prop_oneof![
        24 => Just(""),
        1 => Just("/.."), 1 => Just("/../other"), 1 => Just("/%2e%2e/other"), 1 => Just("%2Fother"), 1 => Just("%252Fother"),
        1 => Just("//"), 1 => Just("/."), 1 => Just("\\..\\other"), 1 => Just(";x=1"), 1 => Just("/..;/other"), 1 => Just("%00"),
        1 => Just("/blobs/uploads"), 1 => Just("/manifests"), 1 => Just("/tags"), 1 => Just("%5c..%5cother"), 1 => Just("/%c0%ae%c0%ae/other"),
    ];
    let tail = prop_oneof![
        Just("/manifests/latest"),
        Just("/tags/list"),
        Just("/blobs/sha256:aa"),
        Just("/blobs/sha256%3Aaa"),
        Just("/blobs/uploads/"),
        Just("/blobs/uploads"),
        Just("/blobs/uploads/u-1"),
        Just("/referrers/sha256:aa"),
        Just("/manifests/x%2F..%2F..%2Fother%2Fmanifests%2Fx"),
    ];
    let query = prop_oneof![
        6 => Just(""), 1 => Just("?n=1&last=%2e%2e"), 1 => Just("?_state=a%3D%3D&x"), 1 => Just("?"), 1 => Just("?from=group/other&mount=sha256:aa"),
        1 => Just("?x=1;from=group/other"), 1 => Just("?%66rom=group/other"), 1 => Just("?a=/../b//c"),
    ];
    (odd.clone(), name, odd.clone(), tail, odd, query)
        .prop_map(|(before, name, after, tail, end, query)| format!("/v2{before}/{name}{after}{tail}{end}{query}"))
}

/// A GET of a raw target; the status.
async fn get(gateway: &Gateway, target: &str, token: &str) -> u16 {
    let mut raw = gateway.raw().await;
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    raw.write(request).await.unwrap();
    raw.head().await.status()
}

#[tokio::test]
async fn the_repository_that_was_authorised_is_the_one_that_is_acted_on() {
    let stage = Stage::new().await;
    assert_eq!(stage.gateway.address.ip().to_string(), "127.0.0.1", "{:?} reads bytes as they are", Door::Plain);
    let mut wide = claims_of("ada", REPOSITORY, &["pull"], START.0);
    let own = wide["access"].as_array_mut().unwrap();
    own.push(json!({ "type": "repository", "name": "group/other", "actions": ["pull"] }));
    let wide = Key::authority().sign(&wide.to_string());
    let narrow = Key::authority().sign(&claims_of("eve", REPOSITORY, &["pull"], START.0).to_string());
    let (mut runner, targets) = (TestRunner::default(), target());
    let (mut forwarded, mut refused) = (0, 0);
    for case in 0..CASES {
        let target = targets.new_tree(&mut runner).unwrap().current();
        let token = if case % 2 == 0 { &wide } else { &narrow };
        let before = stage.registry.requests().len();
        let status = get(&stage.gateway, &target, token).await;
        let heard = stage.registry.requests().split_off(before);
        let Some(request) = heard.first() else {
            refused += 1;
            assert!((400..500).contains(&status), "{target:?} was answered {status} without the registry");
            continue;
        };
        forwarded += 1;
        assert_eq!(heard.len(), 1);
        assert_eq!(request.target, target, "other bytes arrived");
        let shown = claims(request.bearer())["access"].clone();
        let shown: BTreeSet<String> =
            shown.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        for (reading, acted_on) in readings(path) {
            assert_eq!(acted_on.len(), 1, "{target:?}, read as {reading:?}, names {acted_on:?}");
            assert!(acted_on.is_subset(&shown), "{target:?}, read as {reading:?}, acts on {acted_on:?} with {shown:?}");
        }
        assert!(shown.len() == 1 || query.contains("rom="), "{target:?} was given {shown:?}");
        if token == &narrow {
            assert_eq!(shown, BTreeSet::from([REPOSITORY.to_owned()]), "{target:?} reached further than its token");
        }
    }
    assert!(forwarded > CASES / 20 && refused > CASES / 20, "{forwarded} forwarded, {refused} refused");
}
