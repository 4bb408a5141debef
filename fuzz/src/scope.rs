//! `scope=`: what was read is written so that it reads the same, and an authority that splits at the colons reads no
//! other resource and no other right in it.

use std::collections::BTreeSet;

use tidegate::oci::access::{Action, ResourceActions, merge};
use tidegate::oci::scope::{self, MAX_BYTES, MAX_ENTRIES};

/// The bytes are one `scope` value.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(entries) = scope::parse(text) else { return };
    assert!(text.len() <= MAX_BYTES && entries.len() <= MAX_ENTRIES, "read beyond its bounds");
    assert_eq!(scope::parse(&scope::write(&entries)).as_ref(), Ok(&entries), "{text:?} reads otherwise once written");
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    assert_eq!(words.len(), entries.len(), "{text:?}");
    for (word, entry) in words.iter().zip(&entries) {
        let read = authority(word);
        assert_eq!(read.as_ref(), Some(&plain(entry)), "an authority reads {word:?} otherwise");
    }
    merging_adds_no_right(&entries);
    for granted in entries.iter().take(8) {
        entries.iter().take(8).for_each(|needed| rights(granted, needed));
    }
}

/// Type with class, name, and the set of actions.
type Plain = (String, String, BTreeSet<String>);

/// As token servers read an entry: three parts between colons, or four where the second is a port's host.
fn authority(word: &str) -> Option<Plain> {
    let parts: Vec<&str> = word.split(':').collect();
    let (kind, name, actions) = match *parts.as_slice() {
        [kind, name, actions] => (kind, name.to_owned(), actions),
        [kind, host, path, actions] => (kind, format!("{host}:{path}"), actions),
        _ => return None,
    };
    Some((kind.to_owned(), name, actions.split(',').map(str::to_owned).collect()))
}

fn plain(entry: &ResourceActions) -> Plain {
    let class = if entry.class.is_empty() { String::new() } else { format!("({})", entry.class) };
    let actions = entry.actions.iter().map(|action| action.as_str().to_owned()).collect();
    (format!("{}{class}", entry.kind), entry.name.clone(), actions)
}

fn merging_adds_no_right(entries: &[ResourceActions]) {
    let rights = |entries: &[ResourceActions]| -> BTreeSet<(String, String, String)> {
        entries
            .iter()
            .map(plain)
            .flat_map(|(kind, name, actions)| actions.into_iter().map(move |one| (kind.clone(), name.clone(), one)))
            .collect()
    };
    assert_eq!(rights(entries), rights(&merge(entries.to_vec())), "adding up changed the rights");
}

/// A grant covers a need exactly when resource and words say so, and what is left of a need is within both.
fn rights(granted: &ResourceActions, needed: &ResourceActions) {
    let same = granted.kind == needed.kind && granted.name == needed.name;
    let holds = |action: &Action| granted.actions.iter().any(|held| held == action || held.as_str() == "*");
    let covered = same && needed.actions.iter().all(holds);
    assert_eq!(granted.covers(needed), covered, "{granted} over {needed}");
    match needed.intersect(granted) {
        None => assert!(!same || !needed.actions.iter().any(holds), "{granted} and {needed} share nothing"),
        Some(left) => {
            assert!(granted.covers(&left), "{left} is more than {granted}");
            assert!(left.actions.iter().all(|action| needed.actions.contains(action)), "{left} is more than {needed}");
        }
    }
}
