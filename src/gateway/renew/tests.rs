use proptest::prelude::*;

use super::*;
use crate::oci::access::{Action, ResourceActions};

fn minted(issued: i64) -> Signed {
    let bearer = HeaderValue::from_static("Bearer x");
    Signed { bearer, issued_at: Timestamp(issued), expires: Timestamp(issued + 600) }
}

#[test]
fn a_request_with_a_body_gets_a_token_of_at_most_a_minute() {
    assert!(is_fresh(&minted(1_000), true, Timestamp(1_060)));
    assert!(!is_fresh(&minted(1_000), true, Timestamp(1_061)));
}

#[test]
fn a_request_without_a_body_gets_one_with_half_its_life_left() {
    assert!(is_fresh(&minted(1_000), false, Timestamp(1_300)));
    assert!(!is_fresh(&minted(1_000), false, Timestamp(1_301)));
}

#[test]
fn a_clock_that_went_back_makes_no_cached_token_good() {
    assert!(!is_fresh(&minted(1_000), false, Timestamp(999)));
}

#[test]
fn a_token_that_ends_as_it_begins_is_never_fresh() {
    let stillborn = Signed { expires: Timestamp(1_000), ..minted(1_000) };
    assert!(!is_fresh(&stillborn, false, Timestamp(1_000)));
}

#[test]
fn tokens_and_accesses_never_share_a_key() {
    let pull = Needed::Resources(vec![ResourceActions::repository("g/p", &[Action::Pull])]);
    let keys = [
        cache_key(Fingerprint::of(b"one"), &Needed::AnyToken),
        cache_key(Fingerprint::of(b"one*"), &Needed::AnyToken),
        cache_key(Fingerprint::of(b"one"), &Needed::WholeToken),
        cache_key(Fingerprint::of(b"one"), &pull),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[at + 1..].contains(key));
    }
}

/// Everything a route can need: names of the repository grammar, so few and short that they are often neighbours.
fn needed() -> impl Strategy<Value = Needed> {
    let action = proptest::sample::select(vec![Action::Pull, Action::Push, Action::Delete]);
    let repository = ("[ab](/[ab]){0,2}", proptest::collection::vec(action, 1..3))
        .prop_map(|(name, actions)| ResourceActions::repository(&name, &actions));
    prop_oneof![
        1 => Just(Needed::AnyToken),
        1 => Just(Needed::WholeToken),
        1 => Just(Needed::Resources(vec![ResourceActions::new("registry", "catalog", &[Action::Any])])),
        6 => proptest::collection::vec(repository, 1..3).prop_map(Needed::Resources),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn two_requests_share_a_minted_token_exactly_when_token_and_need_are_equal(
        one in ("[a*]{1,3}", needed()),
        other in ("[a*]{1,3}", needed()),
    ) {
        let key = |(token, needed): &(String, Needed)| cache_key(Fingerprint::of(token.as_bytes()), needed);
        prop_assert_eq!(key(&one) == key(&other), one == other);
    }

    #[test]
    fn what_ends_a_token_never_begins_a_need(
        token in "[a-z]{1,8}",
        text in "(\\*|repository:[ab]{1,3}:pull)",
        needed in needed(),
    ) {
        let longer = Fingerprint::of(format!("{token}{text}").as_bytes());
        let token = Fingerprint::of(token.as_bytes());
        prop_assert_ne!(cache_key(longer, &Needed::AnyToken), cache_key(token, &needed));
    }
}
