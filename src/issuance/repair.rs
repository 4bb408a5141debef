//! What a token answer lacks is added: how long the token lives, and its OAuth2 name.
//!
//! GitLab answers `{"token":…}` and nothing else, from which most clients conclude a life of 60 s and one (containerd)
//! that the token lives for ever. `issued_at` is not added, and goes when `expires_in` is written: it would be compared
//! with the client's clock, and an early one makes BuildKit keep a token for ever.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::policy::Renew;

/// What a client assumes of a token that comes without `expires_in` (Docker token specification), in seconds.
pub const ASSUMED_LIFE: u64 = 60;

/// What the announced end lies before the true one, for the way and for clocks, in seconds.
pub const MARGIN: u64 = 30;

/// A token with less left is neither kept nor repaired: what a client assumes, and the margin.
pub const SHORTEST_LIFE: u64 = ASSUMED_LIFE + MARGIN;

/// The `expires_in` for a token with `remaining` seconds left: [`MARGIN`] less, never under [`ASSUMED_LIFE`] (clients
/// raise it to that), never more than the truth. `None` when the truth is under that.
///
/// Where pushes are not renewed no more than [`ASSUMED_LIFE`] is announced: a client told more holds older tokens, and
/// nothing would save a push that arrives with one.
#[must_use]
pub fn announced(remaining: u64, renew: Renew) -> Option<u64> {
    if remaining < ASSUMED_LIFE {
        return None;
    }
    match renew {
        Renew::Off => Some(ASSUMED_LIFE),
        Renew::Resign | Renew::Exchange => Some(remaining.saturating_sub(MARGIN).max(ASSUMED_LIFE)),
    }
}

/// An answer that cannot be read as a JSON object with a token in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a JSON object with a token in it")]
pub struct NotAnAnswer;

/// The answer with `expires_in` as given, and both names of the token. What the authority itself said about time goes:
/// it was said at another moment. All other members stay as they came, byte for byte.
///
/// # Errors
/// [`NotAnAnswer`].
pub fn repaired(body: &[u8], expires_in: Option<u64>) -> Result<Vec<u8>, NotAnAnswer> {
    let mut members = named(body)?;
    members.remove("expires_in");
    members.remove("issued_at");
    if let Some(seconds) = expires_in {
        members.insert("expires_in".to_owned(), raw(seconds.to_string())?);
    }
    write(&members)
}

/// The answer with both names of the token and nothing else changed: the OAuth2 variant requires `access_token`.
///
/// # Errors
/// [`NotAnAnswer`].
pub fn oauth2(body: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
    write(&named(body)?)
}

type Members = BTreeMap<String, Box<RawValue>>;

/// The members, the token under both its names.
fn named(body: &[u8]) -> Result<Members, NotAnAnswer> {
    let mut members: Members = serde_json::from_slice(body).map_err(|_| NotAnAnswer)?;
    let present = |name: &str| members.get(name).filter(|value| !matches!(value.get(), "null" | "\"\"")).cloned();
    let (token, access_token) = (present("token"), present("access_token"));
    let either = token.clone().or_else(|| access_token.clone()).ok_or(NotAnAnswer)?;
    members.insert("token".to_owned(), token.unwrap_or_else(|| either.clone()));
    members.insert("access_token".to_owned(), access_token.unwrap_or(either));
    Ok(members)
}

fn write(members: &Members) -> Result<Vec<u8>, NotAnAnswer> {
    serde_json::to_vec(members).map_err(|_| NotAnAnswer)
}

fn raw(json: String) -> Result<Box<RawValue>, NotAnAnswer> {
    RawValue::from_string(json).map_err(|_| NotAnAnswer)
}

#[cfg(test)]
mod tests;
