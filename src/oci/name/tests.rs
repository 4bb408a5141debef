use proptest::prelude::*;

use super::*;
use crate::oci::grammar::Regex;

/// distribution-spec, «Pulling manifests», word for word.
const NAME: &str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";

#[test]
fn names_of_the_specification_are_names_and_others_are_not() {
    for (text, is_name) in [
        ("a", true),
        ("0", true),
        ("library/busybox", true),
        ("g/p/blobs/uploads", true),
        ("a.b_c__d-e---f/0", true),
        ("", false),
        ("/", false),
        ("/a", false),
        ("a/", false),
        ("a//b", false),
        ("a/../b", false),
        ("a/./b", false),
        ("A/b", false),
        ("a..b", false),
        ("a___b", false),
        ("a._b", false),
        ("-a", false),
        ("a-", false),
        ("a%2fb", false),
        ("a;b", false),
        ("a:5000/b", false),
        ("a\\b", false),
        ("a b", false),
        ("a\0", false),
        ("ä", false),
        ("_catalog", false),
    ] {
        assert_eq!(RepositoryName::parse(text).is_ok(), is_name, "{text:?}");
    }
}

#[test]
fn a_name_ends_at_255_bytes() {
    assert!(RepositoryName::parse(&"a".repeat(255)).is_ok());
    assert_eq!(RepositoryName::parse(&"a".repeat(256)), Err(NameError));
}

#[test]
fn upload_identifiers_keep_to_one_path_segment() {
    for (text, is_id) in [
        ("6b3c9a93-af5d-473f-a4a0-9710022185cd", true),
        ("A_b.c=", true),
        ("...", true),
        ("", false),
        (".", false),
        ("..", false),
        ("a/b", false),
        ("a%3D", false),
        ("a+b", false),
        ("a?b", false),
    ] {
        let read = UploadId::parse(text).map(|id| (id.as_str().to_owned(), id.to_string()));
        let as_it_was = is_id.then(|| (text.to_owned(), text.to_owned())).ok_or(NameError);
        assert_eq!(read, as_it_was, "{text:?}");
    }
    assert!(UploadId::parse(&"a".repeat(128)).is_ok());
    assert!(UploadId::parse(&"a".repeat(129)).is_err());
}

proptest! {
    #[test]
    fn a_name_is_what_the_specification_says(text in "[ab0A._/-]{0,12}") {
        prop_assert_eq!(RepositoryName::parse(&text).is_ok(), Regex::new(NAME).matches(&text));
    }

    #[test]
    fn every_name_of_the_grammar_comes_back_as_it_was(text in r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}(/[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}){0,4}") {
        let name = RepositoryName::parse(&text).unwrap();
        prop_assert_eq!(name.as_str(), &text);
        prop_assert_eq!(name.to_string(), text);
    }
}
