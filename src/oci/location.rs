//! The `Location` of an upload: made path-absolute on our own origin, with a ticket put in and taken out byte-exactly.

use super::name::{RepositoryName, UploadId};

/// The query parameter that carries a sealed ticket.
pub const TICKET_PARAMETER: &str = "_tidegate";

/// Why a registry's upload Location is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It does not name an upload of this repository.
    #[error("the registry's Location does not name this repository's uploads")]
    Foreign,
}

/// A registry's upload Location, reduced to what stays: raw path and raw query, no scheme, no authority, no fragment.
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
    /// Reads an absolute or path-absolute Location and checks that it names an upload of `repository`.
    ///
    /// # Errors
    /// [`LocationError::Foreign`].
    pub fn parse(_location: &str, _repository: &RepositoryName) -> Result<Self, LocationError> {
        todo!()
    }

    /// The Location to send, with `_tidegate=<ticket>` as last parameter when there is one.
    #[must_use]
    pub fn with_ticket(&self, _ticket: Option<&str>) -> String {
        todo!()
    }
}

/// A raw query with the ticket taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<'a> {
    /// The other bytes exactly as they were; `None` when nothing is left and a query need not be sent.
    pub query: Option<std::borrow::Cow<'a, str>>,
    /// The ticket's raw value.
    pub ticket: Option<&'a str>,
}

/// The parameter stood there more than once: answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upload ticket stands in the query more than once")]
pub struct Repeated;

/// Removes exactly `_tidegate=…` from a raw query (also when a client re-ordered or re-encoded the others).
///
/// # Errors
/// [`Repeated`].
pub fn take_ticket(_query: Option<&str>) -> Result<Taken<'_>, Repeated> {
    todo!()
}
