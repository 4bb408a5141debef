//! The names a key goes by in a token's `kid`.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A `kid`: at most 128 bytes of letters, digits and `: _ - . = + /`. It is looked up, never opened as a path nor sent
/// to a database; the charset keeps it fit for logs as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

/// Not a key id we look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key id: at most 128 letters, digits and `: _ - . = + /`")]
pub struct KeyIdError;

impl KeyId {
    /// Reads a `kid` from a token's header or from a JWK set.
    ///
    /// # Errors
    /// [`KeyIdError`].
    pub fn parse(text: &str) -> Result<Self, KeyIdError> {
        let charset = |byte: u8| byte.is_ascii_alphanumeric() || b":_-.=+/".contains(&byte);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(charset) {
            return Err(KeyIdError);
        }
        Ok(Self(text.to_owned()))
    }

    /// libtrust's fingerprint, the `kid` of GitLab and distribution 2.x: the first 30 bytes of the SHA-256 of the key's
    /// DER `SubjectPublicKeyInfo`, in base32, as twelve groups of four joined by colons.
    ///
    /// ```
    /// use tidegate::token::key_id::KeyId;
    ///
    /// let id = KeyId::libtrust(b"not a key, but hashed like one");
    /// assert_eq!(id.as_str().split(':').count(), 12);
    /// ```
    #[must_use]
    pub fn libtrust(spki: &[u8]) -> Self {
        let hash = digest(&SHA256, spki);
        let mut id = String::with_capacity(59);
        // 30 bytes are six times five, and five bytes are eight characters of base32.
        for chunk in hash.as_ref().chunks_exact(5).take(6) {
            let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for (position, shift) in (0..8).map(|character| 35 - 5 * character).enumerate() {
                if position % 4 == 0 && !id.is_empty() {
                    id.push(':');
                }
                let index = usize::try_from(bits >> shift & 31).unwrap_or_default();
                id.extend(BASE32.get(index).copied().map(char::from));
            }
        }
        Self(id)
    }

    /// The thumbprint of RFC 7638 §3, the `kid` of distribution 3.x, over an RSA key's `e` and `n` (big-endian, without
    /// leading zeros).
    #[must_use]
    pub fn thumbprint_rsa(exponent: &[u8], modulus: &[u8]) -> Self {
        let (e, n) = (URL_SAFE_NO_PAD.encode(exponent), URL_SAFE_NO_PAD.encode(modulus));
        Self::thumbprint(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#))
    }

    /// The thumbprint of RFC 7638 §3 over an EC key's curve and coordinates. RFC 7518 §6.2.1.2 has the coordinates at
    /// full length; distribution 3.1 drops their leading zeros, so that 1 key in 128 has two thumbprints.
    #[must_use]
    pub fn thumbprint_ec(curve: &str, x: &[u8], y: &[u8]) -> Self {
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self::thumbprint(&format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#))
    }

    fn thumbprint(json: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest(&SHA256, json.as_bytes())))
    }

    /// The id as it stands in a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
