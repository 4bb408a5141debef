//! The key ring of tickets: the first key seals, all open, so that replicas share uploads without a store.
//!
//! Sealed form, base64url without padding: version (1 byte), salt (16), AES-256-GCM-SIV ciphertext and tag (RFC 8452).
//! Each ticket has a key of its own, HKDF-SHA256 (RFC 5869) of a ring key and the salt; so one fixed nonce serves.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ticket::{Binding, PLAIN, Ticket};
use crate::base::secret::Secret;

const VERSION: u8 = 1;
const SALT: usize = 16;
const TAG: usize = 16;
/// Every ticket is as long as any other; nothing else is decoded.
const SEALED: usize = ((1 + SALT + PLAIN + TAG) * 8).div_ceil(6);

/// Why a key or a ticket is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// A ring without keys, or a key that is not 32 bytes.
    #[error("a ticket key is 32 bytes; `tidegate keys ticket` makes one")]
    Key,
    /// The system gave no randomness, or the cipher refused.
    #[error("the ticket could not be sealed")]
    Seal,
}

/// The keys, newest first.
#[derive(Clone, Debug)]
pub struct TicketRing {
    keys: Vec<Secret>,
}

impl TicketRing {
    /// A ring of these keys, 32 bytes each; the first seals.
    ///
    /// # Errors
    /// [`RingError::Key`].
    pub fn new(keys: Vec<Secret>) -> Result<Self, RingError> {
        if keys.is_empty() || keys.iter().any(|key| key.expose().len() != 32) {
            return Err(RingError::Key);
        }
        Ok(Self { keys })
    }

    /// A ring of one key made now; what it seals dies with this process.
    ///
    /// # Errors
    /// [`RingError::Seal`] when the system gives no randomness.
    pub fn ephemeral() -> Result<Self, RingError> {
        let mut key = vec![0; 32];
        rand::fill(&mut key).map_err(|_| RingError::Seal)?;
        Self::new(vec![Secret::new(key)])
    }

    /// Seals a ticket for this upload.
    ///
    /// # Errors
    /// [`RingError::Seal`].
    pub fn seal(&self, ticket: Ticket, binding: &Binding<'_>) -> Result<String, RingError> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| RingError::Seal)?;
        let key = self.keys.first().and_then(|key| derive(key, &salt)).ok_or(RingError::Seal)?;
        let mut sealed = ticket.to_plain().to_vec();
        let associated = Aad::from(binding.associated_data(VERSION));
        key.seal_in_place_append_tag(nonce(), associated, &mut sealed).map_err(|_| RingError::Seal)?;
        let mut bytes = Vec::with_capacity(1 + SALT + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&salt);
        bytes.append(&mut sealed);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens a ticket of this upload; `None` for anything else, whatever is wrong with it.
    #[must_use]
    pub fn open(&self, sealed: &str, binding: &Binding<'_>) -> Option<Ticket> {
        if sealed.len() != SEALED {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (salt, sealed) = rest.split_first_chunk::<SALT>()?;
        if *version != VERSION {
            return None;
        }
        let associated = binding.associated_data(VERSION);
        self.keys.iter().find_map(|key| {
            let mut buffer = sealed.to_vec();
            let plain = derive(key, salt)?.open_in_place(nonce(), Aad::from(&associated), &mut buffer).ok()?;
            Ticket::from_plain(plain)
        })
    }
}

fn derive(key: &Secret, salt: &[u8]) -> Option<LessSafeKey> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.expose());
    let expanded = extracted.expand(&[b"tidegate ticket key"], &AES_256_GCM_SIV).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(expanded)))
}

/// The key is used once, so its nonce need not differ.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests;
