//! An upload's Location: path-absolute on our own origin, read by us as the same upload when it comes back, and
//! without its ticket the registry's own bytes again.

use http::Method;
use tidegate::oci::location::{BlobPushLocation, TICKET_PARAMETER, take_ticket};
use tidegate::oci::name::RepositoryName;
use tidegate::oci::route::{Route, RouteKind};

use super::lines;

const TICKET: &str = "AbC-_9";

/// The bytes are two lines: a repository, and a registry's Location; the second is also a query of a client's.
pub fn check(data: &[u8]) {
    let Some([repository, location]) = lines(data) else { return };
    taken(location);
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
