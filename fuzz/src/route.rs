//! The raw path of a request: whoever decodes, resolves or merges it on the way reads the repository that was
//! authorised, or the request was refused; and every repository that some reader finds in `from=` is asked for.

use std::collections::BTreeSet;

use http::{Method, Uri};
use tidegate::oci::access::{Action, Needed, ResourceActions};
use tidegate::oci::route::{Route, RouteKind};

/// The bytes are `METHOD /path?query`.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((method, target)) = text.split_once(' ') else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Ok(route) = Route::classify(&method, path, query) else { return };
    let authorised: BTreeSet<String> = route.repository.iter().map(ToString::to_string).collect();
    for (reading, repositories) in readings(path) {
        assert_eq!(repositories, authorised, "{path:?} is also read as {reading:?}");
    }
    if route.kind == RouteKind::Upload {
        let upload = route.upload.as_ref().map_or("", |upload| upload.as_str());
        assert!(path.ends_with(&format!("/{upload}")) && !upload.is_empty(), "{path:?} is not about {upload:?}");
    }
    own_access(&method, &route);
    mounts(&route, query);
    // What is forwarded goes through this type; it must not read another path than the one that was looked at.
    if let Ok(uri) = target.parse::<Uri>()
        && !target.contains('#')
    {
        assert_eq!((uri.path(), uri.query()), (path, query), "{target:?} is forwarded otherwise");
    }
}

/// The path as hops may hand it on, each with every repository that a registry could find in it.
pub fn readings(path: &str) -> Vec<(String, BTreeSet<String>)> {
    rewritten(path).into_iter().map(|reading| (reading.clone(), repositories(&reading))).collect()
}

/// The path as hops may hand it on: each thing that some of them do, alone, twice, and all together in two orders.
fn rewritten(path: &str) -> Vec<String> {
    let steps: [fn(&str) -> String; 7] = [decoded, resolved, merged, unparametered, slashed, cut, trimmed];
    let all =
        |steps: &mut dyn Iterator<Item = &fn(&str) -> String>| steps.fold(path.to_owned(), |path, step| step(&path));
    let mut readings = vec![path.to_owned(), decoded(&decoded(path))];
    readings.extend(steps.iter().map(|step| step(path)));
    readings.push(all(&mut steps.iter()));
    readings.push(all(&mut steps.iter().chain(&steps).rev()));
    readings
}

fn decoded(path: &str) -> String {
    String::from_utf8_lossy(&unescaped(path.as_bytes(), false)).into_owned()
}

/// Percent-decoding that leaves broken escapes alone.
fn unescaped(text: &[u8], plus: bool) -> Vec<u8> {
    let mut left = text;
    let mut decoded = Vec::new();
    while let Some((&byte, rest)) = left.split_first() {
        let escape = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escape = escape.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (byte, escape.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(value)) => {
                decoded.push(value);
                left = rest.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) if plus => decoded.push(b' '),
            _ => decoded.push(byte),
        }
        left = rest;
    }
    decoded
}

/// Dot segments removed (RFC 3986 §5.2.4), on whole segments.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    kept.join("/")
}

fn merged(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path
}

/// Without `;parameters`, as servlet containers read a segment.
fn unparametered(path: &str) -> String {
    let plain = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    plain.collect::<Vec<_>>().join("/")
}

fn slashed(path: &str) -> String {
    path.replace('\\', "/")
}

/// Up to what ends a path, or a string, for somebody.
fn cut(path: &str) -> String {
    path.split(['?', '#', '\0']).next().unwrap_or_default().to_owned()
}

fn trimmed(path: &str) -> String {
    path.trim().to_owned()
}

/// Every repository that a registry could find in a path: each endpoint's pattern, at each place where it fits, with
/// any text without a slash for a tag, a digest or an upload.
fn repositories(path: &str) -> BTreeSet<String> {
    let Some(rest) = path.strip_prefix("/v2/") else { return BTreeSet::new() };
    let mut names = BTreeSet::new();
    for tail in ["/tags/list", "/blobs/uploads/", "/blobs/uploads"] {
        names.extend(rest.strip_suffix(tail));
    }
    for middle in ["/manifests/", "/blobs/", "/blobs/uploads/", "/referrers/"] {
        for (at, _) in rest.match_indices('/') {
            let (name, tail) = rest.split_at(at);
            let last = tail.strip_prefix(middle).unwrap_or_default();
            if !last.is_empty() && !last.contains('/') {
                names.insert(name);
            }
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The token scope grammar's word for each method, as the registries have it.
fn own_access(method: &Method, route: &Route) {
    let needed: Vec<ResourceActions> = match (&*route.needed, route.kind) {
        (Needed::Resources(needed), _) => needed.clone(),
        (Needed::WholeToken, kind) => return assert_eq!(kind, RouteKind::Gitlab),
        (Needed::AnyToken, _) => Vec::new(),
    };
    let words: &[&str] = match method.as_str() {
        "GET" | "HEAD" => &["pull"],
        "POST" | "PUT" | "PATCH" => &["pull", "push"],
        "DELETE" => &["delete"],
        "OPTIONS" => &[],
        other => panic!("{other} is no method of a registry"),
    };
    let (kind, name, words) = match (&route.repository, route.kind) {
        (Some(repository), _) => ("repository", repository.as_str(), words),
        (None, RouteKind::Catalog) => ("registry", "catalog", &["*"][..]),
        (None, _) => return assert!(needed.is_empty()),
    };
    for word in words {
        let asked = |entry: &ResourceActions| {
            entry.kind == kind && entry.name == name && entry.actions.contains(&Action::from(*word))
        };
        assert!(needed.iter().any(asked), "{method} asks for no {word} on {name}");
    }
}

/// Pull is needed on every `from` that some reader of the query sees: pairs at `&`, or at `;` as well.
fn mounts(route: &Route, query: Option<&str>) {
    let (Some(_), Some(query)) = (&route.repository, query) else { return };
    let readings: [&[char]; 2] = [&['&'], &['&', ';']];
    for separators in readings {
        for pair in query.split(separators) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = String::from_utf8_lossy(&unescaped(value.as_bytes(), true)).into_owned();
            if unescaped(name.as_bytes(), true) != b"from" || value.is_empty() {
                continue;
            }
            let Needed::Resources(needed) = &*route.needed else { panic!("{query:?} mounts and needs nothing") };
            let pull = ResourceActions::repository(&value, &[Action::Pull]);
            assert!(needed.iter().any(|entry| entry.covers(&pull)), "{query:?} mounts from {value:?} unasked");
        }
    }
}
