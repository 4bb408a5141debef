use proptest::prelude::*;

use super::*;
use crate::token::testing::claims;

fn grant(kind: &str, name: &str, actions: &[&str], meta: Option<&str>) -> AccessClaim {
    AccessClaim {
        kind: kind.to_owned(),
        class: None,
        name: name.to_owned(),
        actions: actions.iter().map(|word| Action::from(*word)).collect(),
        meta: meta.map(|text| RawValue::from_string(text.to_owned()).unwrap()),
    }
}

fn token(access: Vec<AccessClaim>) -> Claims {
    Claims { access, ..Claims::parse(claims().to_string().as_bytes()).unwrap() }
}

fn need(kind: &str, name: &str, words: &[&str]) -> ResourceActions {
    let actions: Vec<_> = words.iter().map(|word| Action::from(*word)).collect();
    ResourceActions { kind: kind.to_owned(), ..ResourceActions::repository(name, &actions) }
}

/// As (type, name, actions, meta).
fn shown(access: &[AccessClaim]) -> Vec<String> {
    let entry = |claim: &AccessClaim| {
        let actions: Vec<_> = claim.actions.iter().map(Action::as_str).collect();
        format!("{}:{}:{} {}", claim.kind, claim.name, actions.join(","), claim.meta.as_ref().map_or("-", |m| m.get()))
    };
    access.iter().map(entry).collect()
}

#[test]
fn a_grant_covers_its_own_actions_on_its_own_resource() {
    let token =
        token(vec![grant("repository", "g/p", &["pull", "push"], None), grant("repository", "g/all", &["*"], None)]);
    for (kind, name, actions, covered) in [
        ("repository", "g/p", &["pull"][..], true),
        ("repository", "g/p", &["pull", "push"], true),
        ("repository", "g/p", &["pull", "push", "delete"], false),
        ("repository", "g/p", &["*"], false),
        ("repository", "g/p", &[], false),
        ("repository", "g/pp", &["pull"], false),
        ("repository", "g/P", &["pull"], false),
        ("repository", "g/*", &["pull"], false),
        ("registry", "g/p", &["pull"], false),
        ("repository", "g/all", &["pull", "push", "delete"], true),
        ("repository", "g/all", &["*"], true),
    ] {
        assert_eq!(token.covers(&need(kind, name, actions)), covered, "{kind}:{name}:{actions:?}");
    }
}

#[test]
fn entries_of_one_resource_add_up() {
    let token = token(vec![grant("repository", "g/p", &["pull"], None), grant("repository", "g/p", &["push"], None)]);
    assert!(token.covers(&need("repository", "g/p", &["pull", "push"])));
}

#[test]
fn a_name_with_a_star_covers_only_that_very_name() {
    let token = token(vec![grant("repository", "g/*", &["pull"], None)]);
    assert!(!token.covers(&need("repository", "g/p", &["pull"])));
    assert!(token.covers(&need("repository", "g/*", &["pull"])));
}

#[test]
fn a_star_mints_the_needed_word() {
    let token = token(vec![grant("repository", "g/p", &["*"], None), grant("registry", "catalog", &["*"], None)]);
    let minted = token.narrowed(&[need("repository", "g/p", &["pull", "push"]), need("registry", "catalog", &["*"])]);
    assert_eq!(shown(&minted), ["repository:g/p:pull,push -", "registry:catalog:* -"]);
}

#[test]
fn meta_and_class_go_along_with_what_they_stand_beside() {
    let mut plugin = grant("repository", "g/p", &["pull", "push"], Some(r#"{"a": 1.0}"#));
    plugin.class = Some("plugin".to_owned());
    let minted = token(vec![plugin]).narrowed(&[need("repository", "g/p", &["push"])]);
    assert_eq!(shown(&minted), [r#"repository:g/p:push {"a": 1.0}"#]);
    assert_eq!(minted[0].class.as_deref(), Some("plugin"));
}

#[test]
fn a_rule_that_stands_beside_another_action_of_the_repository_is_kept() {
    let rule = r#"{"tag_deny_access_patterns":{"push":["v.*"]}}"#;
    let token = token(vec![
        grant("repository", "g/p", &["delete"], Some(rule)),
        grant("repository", "g/p", &["pull", "push"], None),
        grant("repository", "g/q", &["pull"], Some("{}")),
    ]);
    let minted = token.narrowed(&[need("repository", "g/p", &["push"])]);
    assert_eq!(shown(&minted), [format!("repository:g/p: {rule}"), "repository:g/p:push -".to_owned()]);
    assert!(token.narrowed(&[need("repository", "g/x", &["push"])]).is_empty());
    assert!(token.narrowed(&[need("repository", "g/q", &["push"])]).is_empty(), "a rule alone is no grant");
}

#[test]
fn the_source_of_a_mount_is_minted_beside_the_target() {
    let token = token(vec![
        grant("repository", "g/p", &["pull", "push"], None),
        grant("repository", "g/from", &["pull", "push"], None),
        grant("repository", "g/other", &["pull"], None),
    ]);
    let minted =
        token.narrowed(&[need("repository", "g/p", &["pull", "push"]), need("repository", "g/from", &["pull"])]);
    assert_eq!(shown(&minted), ["repository:g/p:pull,push -", "repository:g/from:pull -"]);
}

#[test]
fn what_no_registry_knows_is_dropped() {
    let token = token(vec![grant("repository", "g/p", &["*", "admin"], None), grant("robot", "g/p", &["pull"], None)]);
    assert!(token.narrowed(&[need("robot", "g/p", &["pull"])]).is_empty());
    let minted = token.narrowed(&[need("repository", "g/p", &["admin", "pull"])]);
    assert_eq!(shown(&minted), ["repository:g/p:pull -"]);
}

const WORDS: [&str; 5] = ["pull", "push", "delete", "*", "admin"];
const NAMES: [&str; 3] = ["g/p", "g/q", "g/*"];
const KINDS: [&str; 3] = ["repository", "registry", "robot"];
const METAS: [Option<&str>; 4] = [None, Some("{}"), Some(r#"{ "b":1.50,"a":"\u00e9" }"#), Some("[1e2]")];

fn words() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..4)
}

fn grants() -> impl Strategy<Value = Vec<AccessClaim>> {
    let class = prop::option::of(Just("plugin".to_owned()));
    let one = (prop::sample::select(&KINDS[..]), prop::sample::select(&NAMES[..]), words(), 0..METAS.len(), class);
    let one = one
        .prop_map(|(kind, name, words, meta, class)| AccessClaim { class, ..grant(kind, name, &words, METAS[meta]) });
    prop::collection::vec(one, 0..5)
}

fn needs() -> impl Strategy<Value = Vec<ResourceActions>> {
    let one = (prop::sample::select(&KINDS[..]), prop::sample::select(&NAMES[..]), words());
    prop::collection::vec(one.prop_map(|(kind, name, words)| need(kind, name, &words)), 0..3)
}

proptest! {
    #[test]
    fn what_is_minted_was_granted_and_needed_and_keeps_its_meta(access in grants(), needed in needs()) {
        let minted = token(access.clone()).narrowed(&needed);
        let mut sources = access.iter();
        for entry in &minted {
            // In the source's order, each from an entry of its own: same type, class, name, and meta to the byte.
            let meta = |claim: &AccessClaim| claim.meta.as_ref().map(|meta| meta.get().to_owned());
            let source = sources.find(|source| {
                (&source.kind, &source.class, &source.name, meta(source)) == (&entry.kind, &entry.class, &entry.name, meta(entry))
                    && entry.actions.iter().all(|action| source.actions.contains(action) || source.actions.contains(&Action::Any))
            });
            prop_assert!(source.is_some(), "{:?} from {:?}", entry, access);
            prop_assert!(["repository", "registry"].contains(&entry.kind.as_str()));
            for action in &entry.actions {
                let asked = needed.iter().any(|need| need.same_resource(&entry.kind, &entry.name) && need.actions.contains(action));
                prop_assert!(asked, "{:?} was not needed", action);
                prop_assert!(!matches!(action, Action::Other(_)));
            }
        }
    }

    #[test]
    fn what_is_covered_and_known_is_covered_by_what_is_minted(access in grants(), needed in needs()) {
        let source = token(access);
        let minted = token(source.narrowed(&needed));
        for need in needed.iter().filter(|need| need.kind != "robot") {
            if !need.actions.iter().any(|action| matches!(action, Action::Other(_))) {
                prop_assert_eq!(source.covers(need), minted.covers(need));
            }
        }
    }
}
