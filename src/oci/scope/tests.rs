use proptest::prelude::*;

use super::*;
use crate::oci::access::merge;

#[test]
fn scopes_that_clients_send_are_read() {
    for (value, written) in [
        ("repository:library/busybox:pull", "repository:library/busybox:pull"),
        ("repository:a/b:push,pull", "repository:a/b:pull,push"),
        ("repository:a/b:pull,pull", "repository:a/b:pull"),
        ("repository:a/b:pull repository:c/d:pull,push", "repository:a/b:pull repository:c/d:pull,push"),
        ("repository(plugin):a/b:pull", "repository(plugin):a/b:pull"),
        ("repository:localhost:5000/a:pull", "repository:localhost:5000/a:pull"),
        ("registry:catalog:*", "registry:catalog:*"),
        ("repository:a/b:*", "repository:a/b:*"),
        ("repository:a/b:admin,pull", "repository:a/b:pull,admin"),
        ("repository:a/*:pull", "repository:a/*:pull"),
        ("  repository:a:pull  ", "repository:a:pull"),
        ("", ""),
    ] {
        assert_eq!(write(&parse(value).unwrap()), written, "{value}");
    }
}

#[test]
fn scopes_that_could_be_read_in_two_ways_are_not_read() {
    for value in [
        "repository",
        "repository:a",
        "repository:a:",
        "repository::pull",
        ":a:pull",
        "repository:a:pull,",
        "repository:a:,pull",
        "repository:a:pull:x,push",
        "repository:a/b:80/c:pull",
        "repository:h:80:pull",
        "repository:h:x/a:pull",
        "repository:h:/a:pull",
        "repository:h:1/a:b:pull",
        "Repository:a:pull",
        "repository(:a:pull",
        "repository():a:pull",
        "repository(plugin:a:pull",
        "repositoryplugin):a:pull",
        "repository(a)(b):a:pull",
        "repository:a,b:pull",
        "repository:\"a:pull",
        "repository:a\\b:pull",
        "repository:a\tb:pull",
        "repository:a:pull\nrepository:b:push",
        "repository:ä:pull",
        "repository:a:**",
        "repository:a:pull repository",
    ] {
        assert_eq!(parse(value), Err(ScopeError), "{value:?}");
    }
}

#[test]
fn sixty_four_entries_and_eight_kibibytes_are_the_most() {
    let entries = |count: usize| vec!["repository:a:pull"; count].join(" ");
    assert_eq!(parse(&entries(64)).unwrap().len(), 64);
    assert_eq!(parse(&entries(65)), Err(ScopeError));
    let long = |bytes: usize| format!("repository:{}:pull", "a".repeat(bytes - "repository::pull".len()));
    assert!(parse(&long(8192)).is_ok());
    assert_eq!(parse(&long(8193)), Err(ScopeError));
}

fn any_entry() -> impl Strategy<Value = String> {
    "(repository|registry)(\\([a-z]{1,3}\\))?:([a-z]{1,3}:[0-9]{1,3}/)?[a-z*/.]{1,4}:(pull|push|x|\\*)(,(pull|delete)){0,2}"
}

proptest! {
    #[test]
    fn what_was_read_is_written_so_that_it_reads_the_same(entries in prop::collection::vec(any_entry(), 0..5)) {
        let read = parse(&entries.join(" ")).unwrap();
        prop_assert_eq!(parse(&write(&read)).unwrap(), read);
    }

    #[test]
    fn whatever_is_read_reads_the_same_again(value in "[a-z(]{0,2}(repository|registry)?[:()a,* 1/]{0,12}(:pull)?") {
        if let Ok(read) = parse(&value) {
            prop_assert_eq!(parse(&write(&read)).unwrap(), read);
        }
    }

    #[test]
    fn two_sets_of_rights_never_share_a_spelling(one in prop::collection::vec(any_entry(), 0..4), other in prop::collection::vec(any_entry(), 0..4)) {
        let set = |entries: &[String]| {
            let mut set = merge(parse(&entries.join(" ")).unwrap());
            set.sort();
            set
        };
        prop_assert_eq!(set(&one) == set(&other), write(&set(&one)) == write(&set(&other)));
    }
}
