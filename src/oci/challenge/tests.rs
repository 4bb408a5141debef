use proptest::prelude::*;

use super::*;
use crate::oci::access::Action;

fn challenge(scope: Vec<ResourceActions>, error: Option<ChallengeError>) -> String {
    let challenge =
        Challenge { realm: "https://h/jwt/auth".to_owned(), service: "container_registry".to_owned(), scope, error };
    challenge.header().to_str().unwrap().to_owned()
}

#[test]
fn challenges_are_spelled_as_the_registries_spell_them() {
    use ChallengeError::{InsufficientScope, InvalidToken};
    let start = r#"Bearer realm="https://h/jwt/auth",service="container_registry""#;
    let push = ResourceActions::repository("g/p", &[Action::Push, Action::Pull]);
    let from = ResourceActions::repository("o/q", &[Action::Pull]);
    let catalog = ResourceActions::new("registry", "catalog", &[Action::Any]);
    for (scope, error, rest) in [
        (vec![], None, ""),
        (vec![], Some(InvalidToken), r#",error="invalid_token""#),
        (vec![push.clone()], None, r#",scope="repository:g/p:pull,push""#),
        (
            vec![push, from],
            Some(InsufficientScope),
            r#",scope="repository:g/p:pull,push repository:o/q:pull",error="insufficient_scope""#,
        ),
        (vec![catalog], Some(InvalidToken), r#",scope="registry:catalog:*",error="invalid_token""#),
    ] {
        assert_eq!(challenge(scope, error), format!("{start}{rest}"));
    }
}

proptest! {
    #[test]
    fn no_realm_or_service_breaks_out_of_its_quotes(realm in any::<String>(), service in any::<String>()) {
        let written = Challenge { realm: realm.clone(), service: service.clone(), scope: vec![], error: None }.header();
        let text = String::from_utf8(written.as_bytes().to_vec()).unwrap();
        let mut rest = text.strip_prefix("Bearer realm=\"").unwrap().chars();
        prop_assert_eq!(unquote(&mut rest), realm.replace(|c: char| c.is_ascii_control(), ""));
        let mut rest = rest.as_str().strip_prefix(",service=\"").unwrap().chars();
        prop_assert_eq!(unquote(&mut rest), service.replace(|c: char| c.is_ascii_control(), ""));
        prop_assert_eq!(rest.as_str(), "");
    }
}

/// Reads a quoted string as RFC 9110 §5.6.4 has it, up to and with its closing quote.
fn unquote(rest: &mut std::str::Chars<'_>) -> String {
    let mut value = String::new();
    loop {
        match rest.next().unwrap() {
            '"' => return value,
            '\\' => value.push(rest.next().unwrap()),
            other => value.push(other),
        }
    }
}
