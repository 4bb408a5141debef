//! The token endpoint's request and answer (Docker token specification; its OAuth2 variant).

use zeroize::Zeroizing;

use super::access::{ResourceActions, merge};
use super::{form, scope};
use crate::base::secret::Secret;

/// The longest query that is read, in bytes: room for 8 KiB of scopes with every byte percent-encoded.
const MAX_QUERY: usize = 32 * 1024;

/// A token request's query, read for caching and logs; what goes to the authority is the raw query.
///
/// ```
/// use tidegate::oci::token_api::TokenQuery;
///
/// let query = TokenQuery::parse(Some("service=s&scope=repository:b:push,pull%20repository:a:pull"));
/// assert_eq!(query.canonical_scope(), "repository:a:pull repository:b:pull,push");
/// assert!(query.cacheable);
/// assert!(!TokenQuery::parse(Some("service=s&offline_token=true")).cacheable);
/// ```
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
    pub fn parse(query: Option<&str>) -> Self {
        let query = query.unwrap_or_default();
        let mut read = Self::default();
        if query.len() > MAX_QUERY {
            return read;
        }
        // Some authorities still take `;` for a separator: with one in it, it is not certain what was asked for.
        let mut certain = !query.contains(';');
        let mut scopes = Vec::new();
        let mut scope_bytes = 0_usize;
        for (name, value) in form::pairs(query) {
            // Names are compared as they stand: an encoded spelling is not what any client writes.
            let slot = match name {
                "service" => &mut read.service,
                "account" => &mut read.account,
                "client_id" => &mut read.client_id,
                "scope" => {
                    let value = value.and_then(form::text);
                    scope_bytes = scope_bytes.saturating_add(value.as_deref().map_or(0, str::len));
                    // The bounds of one value hold for all of them together.
                    let room = scope::MAX_ENTRIES.saturating_sub(scopes.len());
                    match value.as_deref().map(scope::parse) {
                        Some(Ok(entries)) if entries.len() <= room && scope_bytes <= scope::MAX_BYTES => {
                            scopes.extend(entries);
                        }
                        _ => certain = false,
                    }
                    continue;
                }
                _ => {
                    certain = false;
                    continue;
                }
            };
            match value.and_then(form::text) {
                Some(value) if slot.is_none() => *slot = Some(value),
                _ => certain = false,
            }
        }
        read.cacheable = certain;
        read.scopes = merge(scopes);
        read.scopes.sort();
        read
    }

    /// The scope set in one canonical spelling, the same for any order of scopes and actions.
    #[must_use]
    pub fn canonical_scope(&self) -> String {
        scope::write(&self.scopes)
    }
}

/// The OAuth2 form of `POST` (RFC 6749 §4.3 and §6; grant types `password` and `refresh_token`).
///
/// ```
/// use tidegate::oci::token_api::TokenForm;
///
/// let form = TokenForm::parse(b"grant_type=password&service=s&scope=repository:a:pull&username=jane&password=x").unwrap();
/// assert_eq!(form.query, "service=s&scope=repository%3Aa%3Apull&account=jane");
/// ```
#[derive(Clone, Debug)]
pub struct TokenForm {
    /// `grant_type`: `password`, `refresh_token`, or what nobody here serves.
    pub grant_type: String,
    /// `username`
    pub username: Option<String>,
    /// `password` (or `refresh_token`)
    pub password: Option<Secret>,
    /// The GET query that asks for the same: `service`, `scope` (one parameter each), `client_id`, `account`.
    pub query: String,
}

/// A form that is no token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OAuth2 token request")]
pub struct FormError;

impl TokenForm {
    /// Reads `application/x-www-form-urlencoded`. Parameters nobody knows are ignored (RFC 6749 §3.2), one that
    /// stands there twice is an error, as there; `scope` alone may be repeated, as in the query. A raw `;`, which
    /// every encoder escapes, is text to some readers, a separator to others, and to Go no parameter at all.
    ///
    /// # Errors
    /// [`FormError`] when it is not a form or has no `grant_type`.
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        let body = std::str::from_utf8(body).ok().filter(|body| !body.contains(';')).ok_or(FormError)?;
        let mut raw = Raw::default();
        for (name, value) in form::pairs(body) {
            let value = value.unwrap_or_default();
            // `serv%69ce` is `service` to whoever decodes names as well.
            let name = form::text(name).ok_or(FormError)?;
            let slot = match name.as_ref() {
                "grant_type" => &mut raw.grant_type,
                "service" => &mut raw.service,
                "client_id" => &mut raw.client_id,
                "username" => &mut raw.username,
                "password" => &mut raw.password,
                "refresh_token" => &mut raw.refresh_token,
                "scope" => {
                    raw.scopes.push(value);
                    continue;
                }
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(FormError);
            }
        }
        raw.decode()
    }
}

/// The values as they stand in the body.
#[derive(Default)]
struct Raw<'a> {
    grant_type: Option<&'a str>,
    service: Option<&'a str>,
    client_id: Option<&'a str>,
    username: Option<&'a str>,
    password: Option<&'a str>,
    refresh_token: Option<&'a str>,
    scopes: Vec<&'a str>,
}

impl Raw<'_> {
    fn decode(self) -> Result<TokenForm, FormError> {
        let text = |raw: &str| form::text(raw).ok_or(FormError);
        let grant_type = self.grant_type.map(text).transpose()?.filter(|grant| !grant.is_empty()).ok_or(FormError)?;
        let username = self.username.map(text).transpose()?;
        let proof = if grant_type == "refresh_token" { self.refresh_token } else { self.password };
        let password = proof.map(|raw| {
            let decoded = Zeroizing::new(form::bytes(raw).ok_or(FormError)?);
            Ok(Secret::new(decoded.to_vec()))
        });
        let mut query = String::new();
        let mut add = |name: &str, value: &str| {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            form::encode(value, b"", &mut query);
        };
        if let Some(service) = self.service {
            add("service", &text(service)?);
        }
        for raw in self.scopes {
            text(raw)?.split(' ').filter(|scope| !scope.is_empty()).for_each(|scope| add("scope", scope));
        }
        if let Some(client_id) = self.client_id {
            add("client_id", &text(client_id)?);
        }
        if let Some(username) = &username {
            add("account", username);
        }
        Ok(TokenForm { grant_type, username, password: password.transpose()?, query })
    }
}

#[cfg(test)]
mod tests;
