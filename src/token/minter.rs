//! The registry token: what we sign for the registry, taken by distribution 2.8, 3.x and GitLab's fork alike.

use std::time::Duration;

use super::claims::{AccessClaim, Claims};
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;

/// Why a key cannot sign registry tokens. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MinterError {
    /// The private key file.
    #[error("not a PEM private key of P-256 or RSA (2048 bits and more)")]
    Key,
    /// The certificate file.
    #[error("not a PEM certificate chain, the leaf first")]
    Certificate,
    /// The leaf's public key is another one.
    #[error("the certificate is for another key")]
    Mismatch,
    /// Signing failed.
    #[error("the token could not be signed")]
    Sign,
}

/// Signs registry tokens: ES256 or RS256, `x5c` of the chain, libtrust `kid`, `aud` a string, integer times.
#[derive(Clone, Debug)]
pub struct Minter {}

/// A minted token and the moment it ends.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The compact JWT.
    pub token: Secret,
    /// `iat`
    pub issued_at: Timestamp,
    /// `exp`
    pub expires: Timestamp,
}

impl Minter {
    /// Reads a key (PEM, PKCS#8, SEC1 or PKCS#1) and its certificate chain (PEM, leaf first).
    ///
    /// # Errors
    /// [`MinterError`].
    pub fn new(_key: &[u8], _certificates: &[u8], _ttl: Duration) -> Result<Self, MinterError> {
        todo!()
    }

    /// Whether a signature costs enough (RSA) to be made off the connection's core.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        todo!()
    }

    /// How long a minted token lives.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        todo!()
    }

    /// Mints for `source`'s holder: `iss`, `sub`, `auth_type`, `user` copied, `aud` = `service`, `access` as given
    /// (already narrowed), new `jti`, `iat` = now, `nbf` = now − 5 s, `exp` = now + ttl.
    ///
    /// # Errors
    /// [`MinterError::Sign`].
    pub fn mint(
        &self,
        _source: &Claims,
        _service: &str,
        _access: &[AccessClaim],
        _now: Timestamp,
    ) -> Result<Minted, MinterError> {
        todo!()
    }
}
