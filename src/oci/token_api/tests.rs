use proptest::prelude::*;

use super::*;

#[test]
fn queries_that_clients_send_are_read_and_cacheable() {
    for (query, scope, account) in [
        ("", "", None),
        ("service=container_registry", "", None),
        ("account=jane&scope=repository%3Aa%2Fb%3Apush%2Cpull&service=s", "repository:a/b:pull,push", Some("jane")),
        ("service=s&scope=repository:a:pull&scope=repository:b:pull", "repository:a:pull repository:b:pull", None),
        ("service=s&scope=repository:b:pull%20repository:a:pull", "repository:a:pull repository:b:pull", None),
        ("service=s&scope=repository:b:pull+repository:a:pull", "repository:a:pull repository:b:pull", None),
        ("scope=repository:a:pull&scope=repository:a:push+repository:a:pull", "repository:a:pull,push", None),
        ("scope=&service=s&", "", None),
        ("account=j%C3%A4ne&client_id=docker", "", Some("jäne")),
    ] {
        let read = TokenQuery::parse(Some(query));
        assert!(read.cacheable, "{query}");
        assert_eq!(read.canonical_scope(), scope, "{query}");
        assert_eq!(read.account.as_deref(), account, "{query}");
    }
    assert!(TokenQuery::parse(None).cacheable);
}

#[test]
fn queries_that_say_anything_else_are_not_cacheable() {
    for query in [
        "service=s&offline_token=true",
        "service=s&x=y",
        "service=s&service=s",
        "account=a&account=b",
        "client_id=a&client_id=a",
        "service=%zz",
        "service=%ff",
        "service",
        "scope",
        "scope=repository:a",
        "scope=repository:a:pull&scope=nonsense",
        "scope=%zz",
        "s%63ope=repository:a:pull",
        "scope[]=repository:a:pull",
        "service=s;scope=repository:a:pull",
        "=",
    ] {
        assert!(!TokenQuery::parse(Some(query)).cacheable, "{query}");
    }
    // The first value is kept for the log all the same.
    assert_eq!(TokenQuery::parse(Some("service=a&service=b&x=y")).service.as_deref(), Some("a"));
}

#[test]
fn the_bounds_of_a_scope_hold_for_all_scopes_together() {
    let repeated = |count: usize| vec!["scope=repository:a:pull"; count].join("&");
    assert!(TokenQuery::parse(Some(&repeated(64))).cacheable);
    assert!(!TokenQuery::parse(Some(&repeated(65))).cacheable);
    let long = format!("repository:{}:pull", "a".repeat(5000));
    assert!(TokenQuery::parse(Some(&format!("scope={long}"))).cacheable);
    assert!(!TokenQuery::parse(Some(&format!("scope={long}&scope={long}"))).cacheable);
    let endless = format!("service=s{}", "&".repeat(MAX_QUERY));
    assert_eq!(TokenQuery::parse(Some(&endless)), TokenQuery::default());
}

#[test]
fn a_password_grant_becomes_the_query_that_asks_for_the_same() {
    let body = b"grant_type=password&service=container_registry&client_id=containerd-client&access_type=offline\
        &scope=repository%3Aa%2Fb%3Apull%2Cpush+repository:c:pull&username=j%26ne&password=s%2Bc+ret";
    let form = TokenForm::parse(body).unwrap();
    assert_eq!(form.grant_type, "password");
    assert_eq!(form.username.as_deref(), Some("j&ne"));
    assert_eq!(form.password, Some(Secret::new(b"s+c ret".to_vec())));
    assert_eq!(
        form.query,
        "service=container_registry&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull\
         &client_id=containerd-client&account=j%26ne"
    );
}

#[test]
fn a_refresh_grant_proves_itself_with_its_token() {
    let form = TokenForm::parse(b"grant_type=refresh_token&refresh_token=r&password=p&service=s").unwrap();
    assert_eq!((form.username, form.password), (None, Some(Secret::new(b"r".to_vec()))));
    assert_eq!(TokenForm::parse(b"grant_type=password&refresh_token=r").unwrap().password, None);
}

#[test]
fn what_is_no_token_request_is_refused() {
    for body in [
        "",
        "service=s",
        "grant_type=",
        "grant_type",
        "grant_type=password&grant_type=password",
        "grant_type=password&password=a&password=b",
        "grant_type=password&username=a&username=b",
        "grant_type=password&service=%zz",
        "grant_type=password&password=%z",
        "grant_type=%ff",
        "grant_type=password&username=a;b",
        "{\"grant_type\":\"password\"}",
    ] {
        assert!(TokenForm::parse(body.as_bytes()).is_err(), "{body}");
    }
    assert!(TokenForm::parse(b"grant_type=password&x=\xff").is_err());
}

#[test]
fn a_form_is_shown_without_its_password() {
    let form = TokenForm::parse(b"grant_type=password&username=jane&password=canary").unwrap();
    assert!(!format!("{form:?}").contains("canary"));
}

fn any_scope() -> impl Strategy<Value = String> {
    "repository:(h:1/)?[ab]{1,2}:(pull|push|\\*)(,(pull|push|delete)){0,2}"
}

#[test]
fn an_encoded_name_is_the_name_it_spells() {
    assert!(TokenForm::parse(b"grant_type=password&serv%69ce=s&service=t").is_err());
    assert_eq!(TokenForm::parse(b"grant_type=password&serv%69ce=s").unwrap().query, "service=s");
}

proptest! {
    #[test]
    fn order_repeats_and_encoding_do_not_change_the_canonical_scope(
        scopes in prop::collection::vec(any_scope(), 0..6).prop_shuffle(),
        spaced in any::<bool>(),
    ) {
        let plain = TokenQuery::parse(Some(&scopes.iter().map(|s| format!("scope={s}")).collect::<Vec<_>>().join("&")));
        let mut turned: Vec<_> = scopes.iter().map(|scope| {
            let (resource, actions) = scope.rsplit_once(':').unwrap();
            let actions: Vec<_> = actions.split(',').rev().collect();
            format!("{resource}:{}", actions.join(","))
        }).collect();
        turned.reverse();
        turned.extend(scopes.first().cloned());
        let other = if spaced {
            let mut encoded = String::new();
            form::encode(&turned.join(" "), b"", &mut encoded);
            format!("service=s&scope={encoded}")
        } else {
            turned.iter().map(|s| format!("scope={s}")).collect::<Vec<_>>().join("&")
        };
        let other = TokenQuery::parse(Some(&other));
        prop_assert!(plain.cacheable && other.cacheable);
        prop_assert_eq!(plain.canonical_scope(), other.canonical_scope());
    }

    #[test]
    fn cacheable_requests_for_different_rights_never_share_a_canonical_scope(
        one in prop::collection::vec(any_scope(), 0..3),
        other in prop::collection::vec(any_scope(), 0..3),
    ) {
        // A set of (resource, action), built without our parser: the last colon ends the resource.
        let rights = |scopes: &[String]| -> std::collections::BTreeSet<(String, String)> {
            scopes.iter().flat_map(|scope| {
                let (resource, actions) = scope.rsplit_once(':').unwrap();
                actions.split(',').map(|action| (resource.to_owned(), action.to_owned())).collect::<Vec<_>>()
            }).collect()
        };
        let canonical = |scopes: &[String]| TokenQuery::parse(Some(&format!("scope={}", scopes.join("+")))).canonical_scope();
        prop_assert_eq!(rights(&one) == rights(&other), canonical(&one) == canonical(&other));
    }

    #[test]
    fn a_form_asks_for_what_its_query_asks_for(
        service in "\\PC{0,8}",
        scopes in prop::collection::vec(any_scope(), 0..4),
        username in "\\PC{1,8}",
        password in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut body = "grant_type=password&service=".to_owned();
        form::encode(&service, b"", &mut body);
        body.push_str("&username=");
        form::encode(&username, b"", &mut body);
        body.push_str(&format!("&scope={}&password=", scopes.join("+")));
        password.iter().for_each(|byte| body.push_str(&format!("%{byte:02x}")));
        let form = TokenForm::parse(body.as_bytes()).unwrap();
        let query = TokenQuery::parse(Some(&form.query));
        prop_assert!(query.cacheable);
        prop_assert_eq!(query.service, Some(service));
        prop_assert_eq!(query.account, Some(username));
        prop_assert_eq!(form.password, Some(Secret::new(password)));
        let straight = TokenQuery::parse(Some(&format!("scope={}", scopes.join("+"))));
        prop_assert_eq!(query.scopes, straight.scopes);
    }

    #[test]
    fn no_query_and_no_form_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = TokenForm::parse(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = TokenQuery::parse(Some(text));
        }
    }
}
