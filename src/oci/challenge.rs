//! The `WWW-Authenticate: Bearer` challenge (RFC 6750 §3), in the registries' exact spelling.

use http::HeaderValue;

use super::access::ResourceActions;

/// The `error` attribute of a challenge (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeError {
    /// Malformed, expired, foreign or forged.
    InvalidToken,
    /// Valid, but not for this.
    InsufficientScope,
}

/// A challenge. Written `Bearer realm="…",service="…"[,scope="…"][,error="…"]`: comma, no space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The token endpoint's URL.
    pub realm: String,
    /// The audience.
    pub service: String,
    /// What the request needs; empty: no `scope`.
    pub scope: Vec<ResourceActions>,
    /// Absent only when no bearer was sent.
    pub error: Option<ChallengeError>,
}

impl Challenge {
    /// The header value. Quotes and backslashes in realm and service are escaped (RFC 9110 §5.6.4).
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        todo!()
    }
}
