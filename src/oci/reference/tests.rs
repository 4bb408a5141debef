use proptest::prelude::*;

use super::*;
use crate::oci::grammar::Regex;

/// OCI image-spec, «Digests», word for word but for the registered algorithms' lengths.
const DIGEST: &str = "[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+";
/// distribution-spec, `<reference>` as a tag, but for its length.
const TAG: &str = "[a-zA-Z0-9_][a-zA-Z0-9._-]*";

#[test]
fn a_reference_is_a_tag_or_a_digest() {
    for (text, kind) in [
        ("latest", "tag"),
        ("_x", "tag"),
        ("V1.0-rc_2", "tag"),
        ("sha256", "tag"),
        ("sha256:aa", "digest"),
        ("sha256+b64u:LCa0a2j_xo-5m0U8HTBBNBNCLXBkg7=", "digest"),
        (".x", ""),
        ("-x", ""),
        ("", ""),
        ("a/b", ""),
        ("sha256:", ""),
        (":aa", ""),
        ("SHA256:aa", ""),
        ("sha256:a:b", ""),
        ("sha256:a.b", ""),
        ("sha256%3Aaa", ""),
        ("a+b", ""),
        ("ä", ""),
    ] {
        let read = match Reference::parse(text) {
            Ok(Reference::Tag(_)) => "tag",
            Ok(Reference::Digest(_)) => "digest",
            Err(ReferenceError) => "",
        };
        assert_eq!(read, kind, "{text:?}");
    }
}

#[test]
fn a_tag_ends_at_128_bytes_and_a_digest_at_256() {
    assert!(Tag::parse(&"a".repeat(128)).is_ok());
    assert!(Tag::parse(&"a".repeat(129)).is_err());
    assert!(Digest::parse(&format!("a:{}", "b".repeat(254))).is_ok());
    assert!(Digest::parse(&format!("a:{}", "b".repeat(255))).is_err());
}

proptest! {
    #[test]
    fn a_digest_is_what_the_specification_says(text in "[a0A+._:=/-]{0,10}") {
        prop_assert_eq!(Digest::parse(&text).is_ok(), Regex::new(DIGEST).matches(&text));
    }

    #[test]
    fn a_tag_is_what_the_specification_says(text in "[a0A._:/%-]{0,8}") {
        prop_assert_eq!(Tag::parse(&text).is_ok(), Regex::new(TAG).matches(&text));
    }

    #[test]
    fn a_digest_is_its_two_parts(text in "[a-z0-9]{1,8}([+._-][a-z0-9]{1,4}){0,2}:[a-zA-Z0-9=_-]{1,64}") {
        let digest = Digest::parse(&text).unwrap();
        prop_assert_eq!(format!("{}:{}", digest.algorithm(), digest.encoded()), text.clone());
        prop_assert_eq!(Reference::parse(&text).unwrap().to_string(), text);
    }
}
