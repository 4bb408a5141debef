//! The `WWW-Authenticate: Bearer` challenge (RFC 6750 §3), in the registries' exact spelling.

use http::HeaderValue;

use super::access::ResourceActions;
use super::scope;

/// The `error` attribute of a challenge (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeError {
    /// Malformed, expired, foreign or forged.
    InvalidToken,
    /// Valid, but not for this.
    InsufficientScope,
}

/// A challenge. Written `Bearer realm="…",service="…"[,scope="…"][,error="…"]`: comma, no space. Several resources
/// share one `scope`, joined by a space; `error` is last. Clients compare and parse exactly this spelling.
///
/// ```
/// use tidegate::oci::access::{Action, ResourceActions};
/// use tidegate::oci::challenge::{Challenge, ChallengeError};
///
/// let challenge = Challenge {
///     realm: "https://registry.example.com/jwt/auth".to_owned(),
///     service: "container_registry".to_owned(),
///     scope: vec![ResourceActions::repository("group/image", &[Action::Pull])],
///     error: Some(ChallengeError::InvalidToken),
/// };
/// assert_eq!(
///     challenge.header(),
///     "Bearer realm=\"https://registry.example.com/jwt/auth\",service=\"container_registry\",\
///      scope=\"repository:group/image:pull\",error=\"invalid_token\""
/// );
/// ```
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

impl ChallengeError {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}

impl Challenge {
    /// The header value. Quotes and backslashes are escaped (RFC 9110 §5.6.4); control characters, which no quoted
    /// string may hold, are left out.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let mut text = String::from("Bearer ");
        quoted(&mut text, "realm", &self.realm);
        text.push(',');
        quoted(&mut text, "service", &self.service);
        if !self.scope.is_empty() {
            text.push(',');
            quoted(&mut text, "scope", &scope::write(&self.scope));
        }
        if let Some(error) = self.error {
            text.push(',');
            quoted(&mut text, "error", error.as_str());
        }
        // Nothing a header refuses is left in it; were it otherwise, a bare challenge is still a challenge.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

/// Appends `name="value"` as a quoted string.
fn quoted(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for c in value.chars().filter(|c| !c.is_ascii_control()) {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

#[cfg(test)]
mod tests;
