use serde_json::Value;

use super::*;

fn accepted(text: &str) -> bool {
    read::<Value>(text.as_bytes()).is_ok()
}

#[test]
fn a_key_may_stand_once() {
    assert!(accepted(r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}"#));
    for twice in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"A":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        r#"{"x":[[{"a":1,"a":2}]]}"#,
    ] {
        assert!(!accepted(twice), "{twice}");
    }
    assert!(accepted(r#"{"x":{"a":1,"A":2}}"#), "case counts where no registry looks for claims");
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(accepted(&nested(16)));
    assert!(!accepted(&nested(17)));
    assert!(!accepted(&nested(100_000)));
}

#[test]
fn nothing_may_stand_behind_the_object_or_before_it() {
    for text in ["{}{}", "{} x", "\u{feff}{}", "", "{", "{}\0", r#"{"a":NaN}"#, r#"{"a":1e400}"#] {
        assert!(!accepted(text), "{text:?}");
    }
    assert!(read::<Value>(b"{\"a\":\"\xff\"}").is_err());
}
