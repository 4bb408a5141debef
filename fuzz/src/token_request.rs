//! The token endpoint's query and form: two readings of one request never share a cached answer, and a form asks the
//! authority for what stands in it, with no parameter that a value smuggled in and without the password.

use std::collections::BTreeSet;

use tidegate::oci::scope;
use tidegate::oci::token_api::{TokenForm, TokenQuery};

/// The bytes are a query, and a form.
pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        query(text);
    }
    if let Ok(read) = TokenForm::parse(data) {
        form(data, &read);
    }
}

fn query(text: &str) {
    let read = TokenQuery::parse(Some(text));
    let mut sorted = read.scopes.clone();
    sorted.sort();
    assert_eq!(read.scopes, sorted);
    if !read.cacheable {
        return;
    }
    // What is cached is asked for again under this spelling: it must be the same request.
    let pairs = go(text);
    let one = |name: &str| {
        let mut values = pairs.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone());
        (values.next(), values.next())
    };
    for (name, read) in [("service", &read.service), ("account", &read.account), ("client_id", &read.client_id)] {
        assert_eq!(one(name), (read.clone(), None), "{text:?} can be read otherwise");
    }
    let known = ["service", "account", "client_id", "scope"];
    assert!(pairs.iter().all(|(name, _)| known.contains(&name.as_str())), "{text:?} says more than was read");
    let rights = |scopes: &str| -> BTreeSet<(String, String)> {
        let entries = scope::parse(scopes).unwrap_or_else(|_| panic!("{scopes:?} is no scope"));
        let entry = |entry: &tidegate::oci::access::ResourceActions| {
            let resource = format!("{}({}):{}", entry.kind, entry.class, entry.name);
            entry.actions.iter().map(move |action| (resource.clone(), action.as_str().to_owned())).collect::<Vec<_>>()
        };
        entries.iter().flat_map(entry).collect()
    };
    let asked: BTreeSet<_> =
        pairs.iter().filter(|(name, _)| name == "scope").flat_map(|(_, value)| rights(value)).collect();
    assert_eq!(rights(&read.canonical_scope()), asked, "{text:?} asks for other rights");
}

fn form(body: &[u8], read: &TokenForm) {
    let text = std::str::from_utf8(body).expect("a form is text");
    let sent = go(text);
    let asked = go(&read.query);
    let first = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    };
    assert_eq!(first(&sent, "grant_type"), Some(read.grant_type.clone()));
    assert_eq!(first(&asked, "service"), first(&sent, "service"), "{:?}", read.query);
    assert_eq!(first(&asked, "client_id"), first(&sent, "client_id"), "{:?}", read.query);
    assert_eq!(first(&asked, "account"), first(&sent, "username"), "{:?}", read.query);
    assert_eq!(read.username, first(&sent, "username"));
    let scopes = |pairs: &[(String, String)]| -> Vec<String> {
        let values = pairs.iter().filter(|(name, _)| name == "scope").map(|(_, value)| value.clone());
        values
            .flat_map(|value| value.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .filter(|it| !it.is_empty())
            .collect()
    };
    assert_eq!(scopes(&asked), scopes(&sent), "{:?} asks for other rights", read.query);
    for name in ["service", "client_id", "account"] {
        let many = asked.iter().filter(|(found, _)| found == name).count();
        assert!(many <= 1, "{:?} says {name} twice", read.query);
    }
    let known = ["service", "client_id", "account", "scope"];
    assert!(asked.iter().all(|(name, _)| known.contains(&name.as_str())), "{:?} was smuggled into", read.query);
    // A query is logged by everyone: the proof has no place in it.
    let proof = if read.grant_type == "refresh_token" { "refresh_token" } else { "password" };
    let proof = sent.iter().find(|(name, _)| name == proof).map(|(_, value)| value);
    if let (Some(proof), Some(held)) = (proof, &read.password) {
        assert!(held.expose() == proof.as_bytes() || proof.contains('\u{fffd}'), "another password");
    }
    assert!(!format!("{read:?}").contains("password: Some(\""), "the password is shown");
    // What we make of it, we read ourselves as one certain request, as far as its scopes are any.
    let again = TokenQuery::parse(Some(&read.query));
    if scopes(&asked).iter().all(|one| scope::parse(one).is_ok()) && read.query.len() < 8 * 1024 {
        let entries: usize = scopes(&asked).len();
        assert!(again.cacheable || entries > scope::MAX_ENTRIES, "{:?}", read.query);
    }
    assert_eq!(again.service, first(&sent, "service"));
    assert_eq!(again.account, read.username);
}

/// Pairs as Go's `url.ParseQuery` reads them, in order: cut at `&`, those with a `;` or a broken escape left out.
fn go(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
    let read = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    read.filter_map(|(name, value)| Some((unescaped(name)?, unescaped(value)?))).collect()
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    let plain = |part: &str| part.replace('+', " ").into_bytes();
    bytes.extend(plain(parts.next()?));
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(plain(rest));
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
