use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn check(body: &str, expires_in: Option<u64>, expected: &Value) {
    let written = repaired(body.as_bytes(), expires_in).unwrap();
    assert_eq!(&serde_json::from_slice::<Value>(&written).unwrap(), expected, "{body}");
}

#[test]
fn gitlabs_answer_gains_its_life_and_its_second_name() {
    check(r#"{"token":"a.b.c"}"#, Some(270), &json!({"token":"a.b.c","access_token":"a.b.c","expires_in":270}));
}

#[test]
fn an_answer_that_says_all_keeps_its_other_members_and_loses_issued_at() {
    let body = r#"{"access_token":"t","expires_in":300,"issued_at":"2026-11-22T00:00:00Z","scope":"x","n":1e3}"#;
    check(body, Some(270), &json!({"token":"t","access_token":"t","expires_in":270,"scope":"x","n":1e3}));
    let written = repaired(body.as_bytes(), Some(270)).unwrap();
    assert!(String::from_utf8(written).unwrap().contains(r#""n":1e3"#), "a member was rewritten");
}

#[test]
fn what_the_authority_said_about_time_is_not_repeated_later() {
    let body = r#"{"token":"t","expires_in":300,"issued_at":"2026-11-22T00:00:00Z"}"#;
    check(body, None, &json!({"token":"t","access_token":"t"}));
}

#[test]
fn an_empty_name_counts_as_absent() {
    check(r#"{"token":"","access_token":"t"}"#, None, &json!({"token":"t","access_token":"t"}));
    check(r#"{"token":"t","access_token":null}"#, None, &json!({"token":"t","access_token":"t"}));
    assert_eq!(repaired(br#"{"token":"","access_token":null}"#, None), Err(NotAnAnswer));
}

#[test]
fn what_is_no_object_with_a_token_is_refused() {
    for body in ["", "{}", "[]", "null", "<html>", "\"token\"", r#"{"token":"t""#] {
        assert_eq!(repaired(body.as_bytes(), None), Err(NotAnAnswer), "{body}");
    }
}

#[test]
fn the_oauth2_form_changes_nothing_but_the_name() {
    let written = oauth2(br#"{"token":"t","expires_in":20}"#).unwrap();
    let expected = json!({"token":"t","access_token":"t","expires_in":20});
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), expected);
}

#[test]
fn the_announced_life_is_the_true_one_less_the_margin() {
    let table =
        [(300, Some(270)), (91, Some(61)), (90, Some(60)), (75, Some(60)), (60, Some(60)), (59, None), (0, None)];
    for (remaining, expected) in table {
        assert_eq!(announced(remaining, Renew::Resign), expected, "{remaining} s left");
    }
}

proptest! {
    #[test]
    fn the_announced_life_is_never_under_a_minute_and_never_over_the_truth(remaining in 0u64..100_000) {
        for renew in [Renew::Resign, Renew::Exchange, Renew::Off] {
            match announced(remaining, renew) {
                Some(life) => prop_assert!((ASSUMED_LIFE..=remaining).contains(&life)),
                None => prop_assert!(remaining < ASSUMED_LIFE),
            }
        }
        prop_assert!(announced(remaining, Renew::Off).is_none_or(|life| life == ASSUMED_LIFE));
    }
}
