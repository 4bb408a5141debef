//! Checking a client token: signature, issuer and audience once; its times at every use.

use std::sync::Arc;
use std::time::Duration;

use super::certificate::Window;
use super::claims::Claims;
use super::compact::Compact;
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
    /// From when to when it lives, leeway included: the claims' times, within the dates of the `x5c` it came with.
    life: Window,
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
    pub fn verify(&self, token: &[u8]) -> Result<Signed, TokenError> {
        let compact = Compact::parse(token)?;
        // Only what a trusted key signed is read any further.
        let window = self.keys.check(&compact)?;
        let claims = Claims::parse(compact.payload()).map_err(|_| TokenError::Malformed)?;
        if claims.issuer != self.issuer {
            return Err(TokenError::Issuer);
        }
        if !claims.audience.contains(&self.service) {
            return Err(TokenError::Audience);
        }
        let identity = Identity::of(&claims, &self.service, token, &self.keys);
        let life = Inner::life(&claims, self.leeway).and(window);
        Ok(Signed { inner: Arc::new(Inner { claims, identity, life }) })
    }
}

impl Inner {
    /// The registries take a token for leeway longer than it says, on both sides. They count in fractions of a second
    /// and we in whole ones, so ours ends with the second before: what we call living, they accept.
    fn life(claims: &Claims, leeway: Duration) -> Window {
        Window {
            from: claims.not_before.map_or(Timestamp(i64::MIN), |not_before| not_before.minus(leeway)),
            to: claims.expires.plus(leeway).minus(Duration::from_secs(1)),
        }
    }

    fn lived_at(&self, moment: Timestamp) -> bool {
        self.life.from <= moment && moment <= self.life.to
    }
}

impl Signed {
    /// What the token is at `now`.
    ///
    /// # Errors
    /// [`TokenError::NotYet`] before `nbf` − leeway.
    pub fn at(&self, now: Timestamp) -> Result<Standing, TokenError> {
        if now < self.inner.life.from {
            return Err(TokenError::NotYet);
        }
        let inner = Arc::clone(&self.inner);
        Ok(if inner.lived_at(now) { Standing::Living(Verified(inner)) } else { Standing::Lapsed(Lapsed(inner)) })
    }

    /// The claims, for caches and logs; not a proof of life.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.inner.claims
    }

    /// Who it speaks for, if it lives.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.inner.identity
    }

    /// The last second at which [`Signed::at`] says living: `exp` + leeway, or the end of the `x5c` it came with.
    #[must_use]
    pub fn lives_until(&self) -> Timestamp {
        self.inner.life.to
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
        self.0.lived_at(moment)
    }
}

#[cfg(test)]
mod tests;
