//! An upload's Location: path-absolute on our own origin, read by us as the same upload when it comes back, and
//! without its ticket the registry's own bytes again. Of any other Location browsers read the same host as we.

use http::Method;
use http::uri::Authority;
use tidegate::oci::location::{BlobPushLocation, TICKET_PARAMETER, elsewhere, in_repository, take_ticket};
use tidegate::oci::name::RepositoryName;
use tidegate::oci::route::{Route, RouteKind};

use super::lines;

const TICKET: &str = "AbC-_9";
const HOST: &str = "r.example:5000";

/// The bytes are two lines: a repository, and a registry's Location; the second is also a query of a client's.
pub fn check(data: &[u8]) {
    let Some([repository, location]) = lines(data) else { return };
    taken(location);
    led(location, RepositoryName::parse(repository).ok().as_ref());
    let Ok(repository) = RepositoryName::parse(repository) else { return };
    if let Ok(read) = BlobPushLocation::parse(location, &repository) {
        sent(location, &repository, &read);
    }
}

fn sent(location: &str, repository: &RepositoryName, read: &BlobPushLocation) {
    let own = format!("/v2/{repository}/blobs/uploads/{}", read.upload);
    assert_eq!(read.path, own, "{location:?} leads elsewhere");
    let bare = read.with_ticket(None);
    assert!(location.contains(&bare), "{bare:?} are not the registry's bytes");
    let ticketed = read.with_ticket(Some(TICKET));
    for sent in [&bare, &ticketed] {
        assert!(sent.starts_with("/v2/") && sent.bytes().all(|byte| byte.is_ascii_graphic()), "{sent:?}");
        assert!(!sent.contains(['\\', '#']), "{sent:?} can be read as another place");
        let (path, query) = sent.split_once('?').map_or((sent.as_str(), None), |(path, query)| (path, Some(query)));
        // A `from=` that can be read in two ways is refused when it comes back; what goes on is this upload.
        if let Ok(route) = Route::classify(&Method::PATCH, path, query) {
            assert_eq!(route.kind, RouteKind::Upload, "{sent:?}");
            assert_eq!(route.repository.as_ref(), Some(repository), "{sent:?}");
            assert_eq!(route.upload.as_ref(), Some(&read.upload), "{sent:?}");
        } else {
            assert!(query.is_some() && Route::classify(&Method::PATCH, path, None).is_ok(), "{sent:?} cannot go on");
        }
    }
    let back = ticketed.split_once('?').map(|(_, query)| query);
    let taken = take_ticket(back).unwrap_or_else(|_| panic!("{ticketed:?} holds two tickets"));
    assert_eq!(taken.ticket, Some(TICKET), "{ticketed:?}");
    assert_eq!(taken.query.as_deref(), read.query.as_deref(), "{ticketed:?} did not come back as it was");
}

/// Taking a ticket out of any query removes exactly one parameter and its separator.
fn taken(query: &str) {
    let own = |pair: &&str| pair.split('=').next() == Some(TICKET_PARAMETER);
    let tickets = query.split('&').filter(own).count();
    let Ok(taken) = take_ticket(Some(query)) else {
        return assert!(tickets > 1, "{query:?} was called repeated");
    };
    assert!(tickets <= 1, "{query:?} holds {tickets} tickets and was read");
    assert_eq!(taken.ticket.is_some(), tickets == 1, "{query:?}");
    let others: Vec<&str> = query.split('&').filter(|pair| !own(pair)).collect();
    let left = taken.query.as_deref();
    assert_eq!(left, (!others.is_empty()).then(|| others.join("&")).as_deref(), "{query:?} was changed");
    if let Some(left) = left {
        let again = take_ticket(Some(left)).map(|again| again.ticket.is_none());
        assert_eq!(again, Ok(true), "{query:?} still holds a ticket");
    }
}

/// What is said to lead to a host, or to our own origin, leads there for a browser too, if anywhere.
fn led(location: &str, repository: Option<&RepositoryName>) {
    let Ok(to) = elsewhere(location.as_bytes(), "https", Some(&Authority::from_static(HOST))) else { return };
    let own = browsed("");
    let read = browsed(location);
    let Some(to) = to else { return assert_eq!(read, own, "{location:?}") };
    let host = to.host().unwrap_or_default().to_ascii_lowercase();
    let is_there = read.as_ref().is_none_or(|(_, read, _)| *read == host);
    assert!(is_there || read == own, "{location:?} leads to {read:?}, not to {host:?}");
    let Some(repository) = repository else { return };
    if let Some(path) = in_repository(&to, repository) {
        let leads = browsed(path) == own && path.starts_with(&format!("/v2/{repository}/"));
        assert!(leads && location.contains(path), "{path:?} of {location:?}");
    }
}

/// Which scheme, host and port a browser goes to that was on our own origin; none: nowhere (WHATWG URL §4.4). It forgives
/// more than RFC 3986, and clients of registries differ as widely.
fn browsed(location: &str) -> Option<(String, String, String)> {
    let trimmed = location.trim_matches(|c: char| c <= ' ').replace(['\t', '\n', '\r'], "");
    let is_slash = |c: char| c == '/' || c == '\\';
    let scheme = trimmed.split_once(':').filter(|(scheme, _)| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_letter)
    });
    let (scheme, rest) =
        scheme.map_or(("https".to_owned(), None), |(scheme, rest)| (scheme.to_ascii_lowercase(), Some(rest)));
    let is_special = ["http", "https", "ws", "wss", "ftp"].contains(&scheme.as_str());
    let is_path = |rest: &str| rest.chars().take_while(|c| is_slash(*c)).count() < 2;
    let rest = match rest {
        // Of the same scheme: a path without the slashes, as without the scheme.
        Some(rest) if scheme == "https" && is_path(rest) => HOST,
        None if is_path(&trimmed) => HOST,
        Some(rest) if is_special => rest,
        Some(rest) => rest.strip_prefix("//")?,
        None => &trimmed,
    };
    let rest = if is_special { rest.trim_start_matches(is_slash) } else { rest };
    let authority = rest.split(|c: char| "/?#".contains(c) || (is_special && c == '\\')).next()?;
    let authority = authority.rsplit('@').next()?.to_ascii_lowercase();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority.as_str(), ""),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_host = !host.is_empty() && !bare.contains(['[', ']']) && (bare != host || !host.contains(':'));
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    (is_host && is_port).then(|| (scheme, host.to_owned(), port.to_owned()))
}
