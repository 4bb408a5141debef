//! A token request as it reaches the service, and what comes back.

use std::sync::Arc;

use http::HeaderValue;

use crate::authority::answer::{Refusal, Unreachable};
use crate::authority::gitlab::Question;
use crate::base::secret::Secret;
use crate::policy::Renew;
use crate::telemetry::labels::CacheResult;

/// Which variant of the protocol the answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `GET` (Docker token specification).
    Docker,
    /// `POST` (its OAuth2 variant), where `access_token` is required.
    OAuth2,
}

/// A token request of a client.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What goes to the authority.
    pub question: Question,
    /// How the site renews: it bounds the life that is announced.
    pub renew: Renew,
    /// What the answer is for.
    pub variant: Variant,
}

/// What a client is answered.
#[derive(Clone, Debug)]
pub enum Issued {
    /// A token.
    Token(IssuedToken),
    /// The authority's 4xx, to be passed on unchanged.
    Refused {
        /// What it said.
        refusal: Arc<Refusal>,
        /// What the cache had; none: it was not asked.
        cache: Option<CacheResult>,
    },
    /// The authority's 429.
    Throttled {
        /// As it put it.
        retry_after: Option<HeaderValue>,
    },
    /// The authority cannot be asked: never a denial.
    Unavailable {
        /// Why.
        why: Unreachable,
        /// As it put it.
        retry_after: Option<HeaderValue>,
    },
}

/// A token to hand out.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The JSON body.
    pub body: Secret,
    /// What the cache had; none: the request is not one to cache.
    pub cache: Option<CacheResult>,
    /// Whether the token verified; another is handed on as it came.
    pub verified: bool,
    /// `sub`
    pub subject: Option<String>,
    /// `auth_type`
    pub auth_type: Option<String>,
    /// Seconds left of its life; none where it did not verify.
    pub remaining: Option<u64>,
}
