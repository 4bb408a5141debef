//! Checking a client token: signature, issuer and audience once; its times at every use.

use std::sync::Arc;
use std::time::Duration;

use super::claims::Claims;
use super::identity::Identity;
use super::keys::VerifyingKeys;
use crate::base::clock::Timestamp;

/// Why a token is not believed. Closed, so that it can be a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT we read: size, encoding, JSON, header, claim types.
    #[error("the token is malformed")]
    Malformed,
    /// The algorithm is not the one pinned to the key.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// No configured key fits.
    #[error("the token was signed by a key that is not trusted")]
    Key,
    /// A key fits, the signature does not.
    #[error("the token's signature does not match")]
    Signature,
    /// `iss` is another.
    #[error("the token comes from another issuer")]
    Issuer,
    /// `aud` is another.
    #[error("the token is for another service")]
    Audience,
    /// `nbf` is further ahead than the leeway.
    #[error("the token is not valid yet")]
    NotYet,
}

/// What is checked against.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Whose signatures count.
    pub keys: VerifyingKeys,
    /// The one issuer, exact.
    pub issuer: String,
    /// The audience, exact.
    pub service: String,
    /// On `exp` and `nbf`, as the registries have it (60 s).
    pub leeway: Duration,
}

/// A token whose signature, issuer and audience are right; whether it lives is asked with [`Signed::at`].
#[derive(Clone, Debug)]
pub struct Signed {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    claims: Claims,
    identity: Identity,
    leeway: Duration,
}

/// A living token.
#[derive(Clone, Debug)]
pub struct Verified(Arc<Inner>);

/// A token past `exp` and leeway: speaks only for its own upload session.
#[derive(Clone, Debug)]
pub struct Lapsed(Arc<Inner>);

/// What a signed token is at a moment.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Before `exp` + leeway.
    Living(Verified),
    /// After it.
    Lapsed(Lapsed),
}

impl Verifier {
    /// Checks everything but the times. The result may be cached by the token's hash.
    ///
    /// # Errors
    /// [`TokenError`], never [`TokenError::NotYet`].
    pub fn verify(&self, _token: &[u8]) -> Result<Signed, TokenError> {
        todo!()
    }
}

impl Signed {
    /// What the token is at `now`.
    ///
    /// # Errors
    /// [`TokenError::NotYet`] before `nbf` − leeway.
    pub fn at(&self, _now: Timestamp) -> Result<Standing, TokenError> {
        todo!()
    }

    /// The claims, for caches and logs; not a proof of life.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.inner.claims
    }
}

impl Verified {
    /// The claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// Who it speaks for.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0.identity
    }
}

impl Lapsed {
    /// The claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// Who it spoke for.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Whether it was living, with leeway, at `moment`: for «when the upload was opened».
    #[must_use]
    pub fn lived_at(&self, moment: Timestamp) -> bool {
        moment <= self.0.claims.expires.plus(self.0.leeway)
            && self.0.claims.not_before.is_none_or(|nbf| nbf.minus(self.0.leeway) <= moment)
    }
}
