use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::oci::access::Action;

/// Owned parts, for making neighbours of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts5 {
    authority: String,
    authorization: Option<Vec<u8>>,
    service: Option<String>,
    scope: String,
    account: Option<String>,
}

fn key(keyer: &Keyer, parts: &Parts5, client: IpAddr) -> Key {
    keyer.asked(&Asked {
        authority: &parts.authority,
        authorization: parts.authorization.as_deref(),
        service: parts.service.as_deref(),
        scope: &parts.scope,
        account: parts.account.as_deref(),
        client,
    })
}

fn home() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

/// Few letters and short words, so that neighbours share most of their bytes.
fn parts() -> impl Strategy<Value = Parts5> {
    let word = "[ab]{0,3}";
    (word, proptest::option::of(word), proptest::option::of(word), word, proptest::option::of(word)).prop_map(
        |(authority, authorization, service, scope, account)| Parts5 {
            authority,
            authorization: authorization.map(String::into_bytes),
            service,
            scope,
            account,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn two_requests_share_a_key_exactly_when_every_part_is_equal(one in parts(), other in parts()) {
        let keyer = Keyer::new().unwrap();
        prop_assert_eq!(key(&keyer, &one, home()) == key(&keyer, &other, home()), one == other);
    }

    #[test]
    fn moving_a_boundary_between_two_parts_changes_the_key(text in "[ -~]{1,40}", first in 0usize..40, second in 0usize..40) {
        let split = |at: usize| {
            let at = at % (text.len() + 1);
            let (authority, scope) = text.split_at(at);
            Parts5 {
                authority: authority.to_owned(),
                authorization: None,
                service: None,
                scope: scope.to_owned(),
                account: None,
            }
        };
        let (one, other) = (split(first), split(second));
        let keyer = Keyer::new().unwrap();
        prop_assert_eq!(key(&keyer, &one, home()) == key(&keyer, &other, home()), one == other);
    }
}

/// The parts of a key of one of the purposes that are made of two texts.
fn two(keyer: &Keyer, purpose: u8, first: &str, second: &str) -> Key {
    match purpose {
        0 => keyer.refused(first, second.as_bytes(), home()),
        1 => keyer.credential(first, Some(second.as_bytes())),
        2 => keyer.upload(first, second),
        3 => keyer.grant(keyer.token(first.as_bytes()), second),
        _ => keyer.exchange(keyer.token(first.as_bytes()), &[ResourceActions::repository(second, &[Action::Pull])]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn keys_of_two_texts_are_equal_exactly_when_purpose_and_both_texts_are(
        one in (0..5_u8, "[ab]{0,3}", "[ab]{0,3}"),
        other in (0..5_u8, "[ab]{0,3}", "[ab]{0,3}"),
    ) {
        let keyer = Keyer::new().unwrap();
        let key = |(purpose, first, second): &(u8, String, String)| two(&keyer, *purpose, first, second);
        prop_assert_eq!(key(&one) == key(&other), one == other);
    }

    #[test]
    fn an_exchange_is_known_by_exactly_the_access_it_asked_for(one in accesses(), other in accesses()) {
        let keyer = Keyer::new().unwrap();
        let token = keyer.token(b"t");
        let set = |access: &[ResourceActions]| access.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(keyer.exchange(token, &one) == keyer.exchange(token, &other), set(&one) == set(&other));
    }
}

/// Entries whose parts run into each other where nothing sets them apart.
fn accesses() -> impl Strategy<Value = Vec<ResourceActions>> {
    let word = || "[ab:]{0,2}";
    let entry =
        (word(), word(), word(), proptest::collection::vec(word(), 0..3)).prop_map(|(kind, class, name, words)| {
            let actions: Vec<Action> = words.iter().map(|word| Action::from(word.as_str())).collect();
            ResourceActions { class, ..ResourceActions::new(&kind, &name, &actions) }
        });
    proptest::collection::vec(entry, 0..3)
}

#[test]
fn every_kind_of_boundary_shift_makes_another_key() {
    let keyer = Keyer::new().unwrap();
    let shifted = [
        (Some("ab"), Some("c"), "d"),
        (Some("a"), Some("bc"), "d"),
        (Some("abc"), None, "d"),
        (Some("abc"), Some(""), "d"),
        (Some(""), Some("abc"), "d"),
        (None, Some("abc"), "d"),
        (None, Some("abcd"), ""),
        (None, None, "abcd"),
    ];
    let keys: Vec<Key> = shifted
        .iter()
        .map(|(authorization, service, scope)| {
            keyer.asked(&Asked {
                authority: "gitlab",
                authorization: authorization.map(str::as_bytes),
                service: *service,
                scope,
                account: None,
                client: home(),
            })
        })
        .collect();
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[index + 1..].contains(key), "{:?} shares its key", shifted[index]);
    }
}

#[test]
fn an_address_counts_whole_for_ipv4_and_by_its_64_for_ipv6() {
    let keyer = Keyer::new().unwrap();
    let of = |address: &str| {
        let parts = Parts5 {
            authority: "gitlab".to_owned(),
            authorization: None,
            service: None,
            scope: String::new(),
            account: None,
        };
        key(&keyer, &parts, address.parse().unwrap())
    };
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
}

#[test]
fn keys_of_two_purposes_never_meet() {
    let keyer = Keyer::new().unwrap();
    let keys = [
        keyer.credential("", Some(b"x")),
        keyer.token(b"x"),
        keyer.upload("", "x"),
        keyer.upload("x", ""),
        keyer.grant(keyer.token(b"x"), "x"),
        keyer.exchange(keyer.token(b"x"), &[]),
        keyer.refused("", b"x", home()),
        keyer.refused("x", b"", home()),
        // The same parts as the one above, for another purpose.
        keyer.token(keyer.token(b"x").as_bytes()),
    ];
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[index + 1..].contains(key), "number {index} meets another");
    }
}

#[test]
fn an_exchange_is_the_same_in_any_order_and_another_with_one_action_more() {
    let keyer = Keyer::new().unwrap();
    let token = keyer.token(b"t");
    let a = ResourceActions::repository("g/a", &[Action::Pull, Action::Push]);
    let b = ResourceActions::repository("g/b", &[Action::Pull]);
    assert_eq!(keyer.exchange(token, &[a.clone(), b.clone()]), keyer.exchange(token, &[b.clone(), a.clone()]));
    assert_ne!(keyer.exchange(token, &[a.clone(), b.clone()]), keyer.exchange(token, &[a]));
}

#[test]
fn another_process_makes_other_keys() {
    assert_ne!(Keyer::new().unwrap().token(b"t"), Keyer::new().unwrap().token(b"t"));
}
