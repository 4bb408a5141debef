//! The token endpoint's request and answer (Docker token specification; its OAuth2 variant).

use super::access::ResourceActions;

/// A token request's query, read for caching and logs; what goes to the authority is the raw query.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TokenQuery {
    /// `service`
    pub service: Option<String>,
    /// All `scope` values, repeated or separated by spaces, sorted and merged per resource.
    pub scopes: Vec<ResourceActions>,
    /// `account`
    pub account: Option<String>,
    /// `client_id`
    pub client_id: Option<String>,
    /// False with scopes that do not parse, repeated single-valued parameters, or any other parameter: such a
    /// request is passed on, neither cached nor coalesced.
    pub cacheable: bool,
}

impl TokenQuery {
    /// Reads a raw query. Never fails: what it cannot read makes it not cacheable.
    #[must_use]
    pub fn parse(_query: Option<&str>) -> Self {
        todo!()
    }

    /// The scope set in one canonical spelling, the same for any order of scopes and actions.
    #[must_use]
    pub fn canonical_scope(&self) -> String {
        todo!()
    }
}

/// The OAuth2 form of `POST` (grant types `password` and `refresh_token`).
#[derive(Clone, Debug)]
pub struct TokenForm {
    /// `grant_type`
    pub grant_type: String,
    /// `username`
    pub username: Option<String>,
    /// `password` (or `refresh_token`)
    pub password: Option<crate::base::secret::Secret>,
    /// The GET query that asks for the same: `service`, `scope` (one parameter each), `client_id`, `account`.
    pub query: String,
}

/// A form that is no token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OAuth2 token request")]
pub struct FormError;

impl TokenForm {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// [`FormError`] when it is not a form or has no `grant_type`.
    pub fn parse(_body: &[u8]) -> Result<Self, FormError> {
        todo!()
    }
}
