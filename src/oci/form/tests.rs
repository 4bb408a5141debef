use proptest::prelude::*;

use super::*;

#[test]
fn escapes_are_undone_once_and_broken_ones_count_for_nothing() {
    for (raw, decoded) in [
        ("a+b%20c", Some("a b c")),
        ("%2f%2F", Some("//")),
        ("%2525", Some("%25")),
        ("", Some("")),
        ("%", None),
        ("%2", None),
        ("%zz", None),
        ("%+1", None),
        ("%ff", None),
    ] {
        assert_eq!(text(raw).as_deref(), decoded, "{raw}");
    }
    assert_eq!(bytes("%ff"), Some(vec![0xff]));
}

#[test]
fn pairs_are_split_at_ampersands_only() {
    let read: Vec<_> = pairs("a=1&&b&c==2;d=3&").collect();
    assert_eq!(read, [("a", Some("1")), ("b", None), ("c", Some("=2;d=3"))]);
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_itself_and_holds_no_delimiter(value in "\\PC{0,20}") {
        let mut encoded = String::new();
        encode(&value, b"", &mut encoded);
        prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        prop_assert_eq!(text(&encoded), Some(value));
    }
}
