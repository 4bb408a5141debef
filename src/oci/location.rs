//! The `Location` of an upload: made path-absolute on our own origin, with a ticket put in and taken out byte-exactly; and
//! where any other leads.

use std::borrow::Cow;

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use super::name::{RepositoryName, UploadId};

/// The query parameter that carries a sealed ticket.
pub const TICKET_PARAMETER: &str = "_tidegate";

/// Why a registry's Location is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It does not name an upload of this repository.
    #[error("the registry's Location does not name this repository's uploads")]
    Foreign,
    /// Its readers may find different hosts in it.
    #[error("the registry's Location can be read in more than one way")]
    Doubtful,
}

/// A registry's upload Location, reduced to what stays: raw path and raw query, no scheme, no authority, no fragment.
///
/// ```
/// use tidegate::oci::location::{BlobPushLocation, take_ticket};
/// use tidegate::oci::name::RepositoryName;
///
/// let name = RepositoryName::parse("g/p").unwrap();
/// let location = BlobPushLocation::parse("http://reg-1:5000/v2/g/p/blobs/uploads/u1?_state=x%3D", &name).unwrap();
/// let sent = location.with_ticket(Some("AbC"));
/// assert_eq!(sent, "/v2/g/p/blobs/uploads/u1?_state=x%3D&_tidegate=AbC");
///
/// let taken = take_ticket(Some("_state=x%3D&_tidegate=AbC&digest=sha256:aa")).unwrap();
/// assert_eq!(taken.query.as_deref(), Some("_state=x%3D&digest=sha256:aa"));
/// assert_eq!(taken.ticket, Some("AbC"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPushLocation {
    /// `/v2/<name>/blobs/uploads/<id>`, raw.
    pub path: String,
    /// The query without the question mark, raw.
    pub query: Option<String>,
    /// The upload it names.
    pub upload: UploadId,
}

impl BlobPushLocation {
    /// Reads an absolute (`http`, `https`) or path-absolute Location and checks that it names an upload of
    /// `repository`, byte for byte. Which host an absolute one names is of no account: registries build it from
    /// headers, and the upload goes on at the origin that answered. A fragment is dropped, an empty query too.
    ///
    /// # Errors
    /// [`LocationError::Foreign`], also for a Location that already holds a ticket: it would come back twice.
    pub fn parse(location: &str, repository: &RepositoryName) -> Result<Self, LocationError> {
        Self::read(location, repository).ok_or(LocationError::Foreign)
    }

    fn read(location: &str, repository: &RepositoryName) -> Option<Self> {
        // A URI is visible ASCII (RFC 3986 §2); browsers and some clients read `\` as `/`.
        if !location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return None;
        }
        let location = location.split_once('#').map_or(location, |(kept, _fragment)| kept);
        let (path, query) = location.split_once('?').map_or((location, None), |(path, query)| (path, Some(query)));
        let path = path_of(path)?;
        let rest = path.strip_prefix("/v2/")?.strip_prefix(repository.as_str())?;
        let upload = UploadId::parse(rest.strip_prefix("/blobs/uploads/")?).ok()?;
        let query = query.filter(|query| !query.is_empty());
        if query.is_some_and(|query| query.split('&').any(|pair| ticket_of(pair).is_some())) {
            return None;
        }
        Some(Self { path: path.to_owned(), query: query.map(str::to_owned), upload })
    }

    /// The Location to send, with `_tidegate=<ticket>` as last parameter when there is one. A ticket is base64url
    /// (RFC 4648 §5) without padding: whoever sorts or re-encodes the query leaves it as it is.
    #[must_use]
    pub fn with_ticket(&self, ticket: Option<&str>) -> String {
        let mut location = self.path.clone();
        let parameter = ticket.map(|ticket| format!("{TICKET_PARAMETER}={ticket}"));
        for (part, separator) in self.query.iter().chain(&parameter).zip(['?', '&']) {
            location.push(separator);
            location.push_str(part);
        }
        location
    }
}

/// The path of an absolute or path-absolute URI; none for other schemes and relative paths. What begins `//host/`
/// comes back whole, and is no upload's path.
fn path_of(uri: &str) -> Option<&str> {
    if uri.starts_with('/') {
        return Some(uri);
    }
    let (scheme, rest) = uri.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let slash = rest.find('/').filter(|at| known && *at > 0)?;
    rest.get(slash..)
}

/// Where a Location leads that is no upload's, if that is not the origin of this scheme and host.
///
/// ```
/// use http::uri::Authority;
/// use tidegate::oci::location::elsewhere;
///
/// let own = Authority::from_static("registry.example");
/// let leads = |location: &[u8]| elsewhere(location, "https", Some(&own)).map(|to| to.map(|to| to.to_string()));
/// assert_eq!(leads(b"/v2/"), Ok(None));
/// assert_eq!(leads(b"https://store.example/b?sig=x"), Ok(Some("https://store.example/b?sig=x".to_owned())));
/// assert!(leads(b"//store.example/b").is_err());
/// ```
///
/// # Errors
/// [`LocationError::Doubtful`]
pub fn elsewhere(location: &[u8], scheme: &str, host: Option<&Authority>) -> Result<Option<Uri>, LocationError> {
    // What clients read as a slash leads elsewhere, whatever this parser makes of it.
    if location.contains(&b'\\') {
        return Err(LocationError::Doubtful);
    }
    let location = Uri::try_from(location).map_err(|_| LocationError::Doubtful)?;
    match (location.scheme_str(), location.authority()) {
        (None, None) if !location.path().starts_with("//") => Ok(None),
        (Some(of), Some(named)) => Ok((of != scheme || host != Some(named)).then_some(location)),
        // `http:store.example` has a host called `http` for this parser; for browsers that is the scheme.
        _ => Err(LocationError::Doubtful),
    }
}

/// A URL's path and query, if it leads into this repository.
#[must_use]
pub fn in_repository<'a>(location: &'a Uri, repository: &RepositoryName) -> Option<&'a str> {
    let path = location.path_and_query().map_or("", PathAndQuery::as_str);
    let rest = path.strip_prefix("/v2/")?.strip_prefix(repository.as_str())?;
    rest.starts_with('/').then_some(path)
}

/// A raw query with the ticket taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<'a> {
    /// The other bytes exactly as they were; `None` when nothing is left and a query need not be sent.
    pub query: Option<Cow<'a, str>>,
    /// The ticket's raw value.
    pub ticket: Option<&'a str>,
}

/// The parameter stood there more than once: answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upload ticket stands in the query more than once")]
pub struct Repeated;

/// Removes exactly `_tidegate=…` from a raw query (also when a client re-ordered or re-encoded the others), with the
/// one `&` that set it apart. A percent-encoded spelling of the name is another parameter: no client makes one.
///
/// # Errors
/// [`Repeated`].
pub fn take_ticket(query: Option<&str>) -> Result<Taken<'_>, Repeated> {
    let Some(query) = query else { return Ok(Taken { query: None, ticket: None }) };
    let mut found = None;
    let mut start = 0_usize;
    for pair in query.split('&') {
        let end = start.saturating_add(pair.len());
        if let Some(ticket) = ticket_of(pair) {
            if found.is_some() {
                return Err(Repeated);
            }
            found = Some((start, end, ticket));
        }
        start = end.saturating_add(1);
    }
    let Some((start, end, ticket)) = found else {
        return Ok(Taken { query: Some(Cow::Borrowed(query)), ticket: None });
    };
    // The separator before it goes with it, for that is the one that was put there; at the start, the one behind it.
    let before = start.checked_sub(1).and_then(|end| query.get(..end));
    let query = match (before, query.get(end..).unwrap_or_default()) {
        // Nothing behind it either: nothing is left.
        (None, after) => after.get(1..).map(Cow::Borrowed),
        (Some(before), "") => Some(Cow::Borrowed(before)),
        (Some(before), after) => Some(Cow::Owned([before, after].concat())),
    };
    Ok(Taken { query, ticket: Some(ticket) })
}

/// The ticket of a pair, if it is one; empty where there is no `=`.
fn ticket_of(pair: &str) -> Option<&str> {
    let rest = pair.strip_prefix(TICKET_PARAMETER)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('=') }
}

#[cfg(test)]
mod tests;
