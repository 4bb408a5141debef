//! What a token server said, as a closed set: given, refused, or not to be had.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use crate::base::secret::Secret;
use crate::token::verifier::{Signed, TokenError, Verifier};

/// The outcome of asking. «Cannot be asked» is never a denial.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A token signed by a key we trust.
    Granted(Box<Granted>),
    /// A token we cannot verify: handed on, never kept, never believed.
    Opaque {
        /// The JSON as it came.
        body: Secret,
        /// Why it is not believed.
        why: TokenError,
    },
    /// 401 or 403.
    Denied(Refusal),
    /// Any other 4xx: 404 for a service it does not know, 400.
    Passed(Refusal),
    /// 429.
    Throttled {
        /// When to come again, as the authority put it.
        retry_after: Option<HeaderValue>,
    },
    /// No answer, or one that means nothing.
    Unreachable {
        /// What happened.
        why: Unreachable,
        /// When to come again, where a 5xx said so.
        retry_after: Option<HeaderValue>,
    },
}

/// A 200 with a token that verifies.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The JSON as it came.
    pub body: Secret,
    /// The token in it.
    pub token: Secret,
    /// What it says, signature, issuer and audience checked.
    pub signed: Signed,
    /// `expires_in` where the authority gave one, in seconds.
    pub expires_in: Option<u64>,
}

/// A 4xx, to be passed on unchanged.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// Those of its headers that speak to the client; no cookies, nothing of the connection.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

/// Why there was no answer. Closed, so that it can be a log field and a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// No connection.
    #[error("no connection to the authority")]
    Connect,
    /// The exchange broke off.
    #[error("the authority broke off")]
    Broken,
    /// No whole answer within the deadline.
    #[error("the authority took too long")]
    Timeout,
    /// A 3xx. Never followed: the credential would go with it.
    #[error("the authority redirects, which is not followed")]
    Redirected,
    /// A 5xx, or a success that is not 200.
    #[error("the authority answered {0}")]
    Status(StatusCode),
    /// A 200 that is not JSON: a login page, as a rule.
    #[error("the authority's answer is not JSON")]
    NotJson,
    /// A 200 without a token in it.
    #[error("the authority's answer holds no token")]
    NoToken,
    /// A 200 larger than anything that is a token.
    #[error("the authority's answer is too large")]
    TooLarge,
    /// A 200 in a content coding nobody asked for.
    #[error("the authority's answer is compressed, which was not asked for")]
    Encoded,
    /// The task that asked has died: this process is stopping.
    #[error("the asking was given up")]
    GivenUp,
}

impl Answer {
    /// `why`, with no word on when to come again.
    #[must_use]
    pub fn unreachable(why: Unreachable) -> Self {
        Self::Unreachable { why, retry_after: None }
    }

    /// Reads the body of a 200 and checks the token in it. Where both names of the token are given and differ, only
    /// one would be checked and a client might use the other: that is not believed.
    #[must_use]
    pub fn of_success(body: &Bytes, verifier: &Verifier) -> Self {
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let wire = match serde_json::from_slice::<Wire>(body) {
            Ok(wire) if is_object => wire,
            // An array would be read as the members in their order.
            Ok(_) => return Self::unreachable(Unreachable::NoToken),
            Err(error) if error.is_data() => return Self::unreachable(Unreachable::NoToken),
            Err(_) => return Self::unreachable(Unreachable::NotJson),
        };
        let token = wire.token.filter(|token| !token.is_empty());
        let access_token = wire.access_token.filter(|token| !token.is_empty());
        let differ = token.is_some() && access_token.is_some() && token != access_token;
        let Some(token) = token.or(access_token) else { return Self::unreachable(Unreachable::NoToken) };
        let (body, token) = (Secret::new(body.to_vec()), Secret::new(token.into_bytes()));
        match verifier.verify(token.expose()) {
            Ok(_) if differ => Self::Opaque { body, why: TokenError::Malformed },
            Ok(signed) => Self::Granted(Box::new(Granted { body, token, signed, expires_in: wire.expires_in })),
            Err(why) => Self::Opaque { body, why },
        }
    }
}

impl Refusal {
    /// The error codes of a registry-style body; none for any other body.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        let body: Errors = serde_json::from_slice(&self.body).unwrap_or_default();
        body.errors.into_iter().map(|error| error.code).collect()
    }
}

/// The members of a token answer that are read here. An `expires_in` of another type is the client's to judge.
#[derive(Deserialize)]
struct Wire {
    token: Option<String>,
    access_token: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(serde_json::Value::deserialize(from)?.as_u64())
}

#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Coded>,
}

#[derive(Deserialize)]
struct Coded {
    #[serde(default)]
    code: String,
}

#[cfg(test)]
mod tests;
