//! Keys that sign registry tokens: PEM certificates and JWKS files, key ids both ways (libtrust and RFC 7638).

/// Why a file of keys cannot be used. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither PEM certificates nor a JWKS.
    #[error("neither PEM certificates nor a JWK set (RFC 7517)")]
    Unreadable,
    /// A key type no registry signs with.
    #[error("only RSA (2048 bits and more) and P-256, P-384 keys are used by registries")]
    Unsupported,
}

/// The keys whose signatures count, with the algorithm pinned for each, and the certificates that may issue `x5c` leaves.
#[derive(Clone, Debug, Default)]
pub struct VerifyingKeys {}

impl VerifyingKeys {
    /// Adds the content of one file: PEM certificates (and public keys), or a JWK set.
    ///
    /// # Errors
    /// [`KeyError`] when nothing usable is in it.
    pub fn add(&mut self, _content: &[u8]) -> Result<(), KeyError> {
        todo!()
    }
}
