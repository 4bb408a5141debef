use proptest::prelude::*;

use super::*;

fn repository(name: &str, actions: &[&str]) -> ResourceActions {
    let actions: Vec<_> = actions.iter().map(|word| Action::from(*word)).collect();
    ResourceActions::repository(name, &actions)
}

#[test]
fn a_grant_covers_a_need_by_word_or_by_star_on_the_literal_name() {
    let need = |actions: &[&str]| repository("g/p", actions);
    for (granted, needed, covered) in [
        (need(&["pull"]), need(&["pull"]), true),
        (need(&["pull", "push"]), need(&["push"]), true),
        (need(&["*"]), need(&["pull", "push"]), true),
        (need(&["*"]), need(&["*"]), true),
        (need(&["push"]), need(&["pull", "push"]), false),
        (need(&["pull", "push", "delete"]), need(&["*"]), false),
        (need(&[]), need(&["pull"]), false),
        (need(&["Pull"]), need(&["pull"]), false),
        (repository("g/*", &["*"]), need(&["pull"]), false),
        (repository("g", &["*"]), need(&["pull"]), false),
        (ResourceActions::new("registry", "g/p", &[Action::Any]), need(&["pull"]), false),
        (ResourceActions { class: "plugin".to_owned(), ..need(&["pull"]) }, need(&["pull"]), true),
    ] {
        assert_eq!(granted.covers(&needed), covered, "{granted} for {needed}");
    }
}

#[test]
fn an_intersection_speaks_the_words_of_the_need() {
    let need = repository("g/p", &["pull", "push"]);
    let left = |granted: &ResourceActions| need.intersect(granted).map(|left| left.to_string());
    assert_eq!(left(&repository("g/p", &["*"])).as_deref(), Some("repository:g/p:pull,push"));
    assert_eq!(left(&repository("g/p", &["pull", "delete"])).as_deref(), Some("repository:g/p:pull"));
    assert_eq!(left(&repository("g/p", &["delete"])), None);
    assert_eq!(left(&repository("g/q", &["*"])), None);
    assert_eq!(repository("g/p", &["*"]).intersect(&need), None);
}

#[test]
fn merging_adds_up_one_resource_and_keeps_classes_apart() {
    let plugin = ResourceActions { class: "plugin".to_owned(), ..repository("a", &["pull"]) };
    let merged = merge([repository("b", &["push"]), plugin, repository("a", &["pull"]), repository("b", &["pull"])]);
    let words: Vec<_> = merged.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["repository:b:pull,push", "repository(plugin):a:pull", "repository:a:pull"]);
}

fn any_access() -> impl Strategy<Value = ResourceActions> {
    let words = prop::collection::vec(prop::sample::select(vec!["pull", "push", "delete", "*", "x"]), 0..4);
    (prop::sample::select(vec!["a", "b"]), words).prop_map(|(name, words)| repository(name, &words))
}

proptest! {
    #[test]
    fn an_intersection_is_never_more_than_either_side(needed in any_access(), granted in any_access()) {
        match needed.intersect(&granted) {
            Some(left) => {
                prop_assert!(granted.covers(&left));
                prop_assert!(left.actions.iter().all(|action| needed.actions.contains(action)));
                prop_assert_eq!(granted.covers(&needed), left == needed);
            }
            None => prop_assert!(needed.actions.is_empty() || !granted.covers(&needed)),
        }
    }

    #[test]
    fn merging_neither_adds_nor_loses_a_right(entries in prop::collection::vec(any_access(), 0..6)) {
        let merged = merge(entries.clone());
        let rights = |all: &[ResourceActions]| {
            let mut rights: Vec<_> = all.iter().flat_map(|one| one.actions.iter().map(|a| (one.name.clone(), a.clone()))).collect();
            rights.sort();
            rights
        };
        let mut once = rights(&entries);
        once.dedup();
        prop_assert_eq!(rights(&merged), once);
    }
}
