//! A key that opens records of TLS 1.3 (RFC 8446 §5.2), from where they were read to where they are wanted.
//!
//! rustls' own keys open a record in place, and what was in it is moved then. ring's can write it where it belongs, which
//! saves 4 % of a push.

use std::fmt;

use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, Tls13CipherSuite};

/// One key of one direction.
pub(crate) struct Opener(By);

enum By {
    Suite(Box<dyn MessageDecrypter>),
    #[cfg(target_arch = "x86_64")]
    Ring(Box<by_ring::Key>),
}

/// Without the key.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opener").finish_non_exhaustive()
    }
}

impl Opener {
    /// The key that `secrets` hold, for the ciphers of `suite`.
    ///
    /// # Errors
    /// They are of a kind that is not known here.
    pub(crate) fn new(suite: &'static Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Result<Self, Error> {
        #[cfg(target_arch = "x86_64")]
        if super::records::are_by_ring(suite) {
            return Ok(Self(By::Ring(Box::new(by_ring::Key::new(&secrets)?))));
        }
        let (key, iv) = parts(secrets)?;
        Ok(Self(By::Suite(suite.aead_alg.decrypter(key, iv))))
    }

    /// Opens record number `sequence`, which is `bytes` from `from` on, without its header. What was in it, without
    /// padding, stands at the beginning of `bytes` then: its kind, and how much it is.
    ///
    /// # Errors
    /// [`Error::DecryptError`]: it is not what was sealed. [`Error::PeerSentOversizedRecord`], and
    /// [`Error::PeerMisbehaved`] for one without a kind.
    pub(crate) fn open(&mut self, sequence: u64, bytes: &mut [u8], from: usize) -> Result<(ContentType, usize), Error> {
        match &mut self.0 {
            By::Suite(key) => {
                let base = bytes.as_ptr().addr();
                let sealed = bytes.get_mut(from..).unwrap_or_default();
                let message = InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, sealed);
                let message = key.decrypt(message, sequence)?;
                let (kind, start, length) =
                    (message.typ, message.payload.as_ptr().addr() - base, message.payload.len());
                bytes.copy_within(start..start + length, 0);
                Ok((kind, length))
            }
            #[cfg(target_arch = "x86_64")]
            By::Ring(key) => key.open(sequence, bytes, from),
        }
    }
}

/// A key and what its nonces are made with.
///
/// # Errors
/// As [`Opener::new`].
pub(crate) fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("keys of an unknown kind".to_owned())),
    }
}

#[cfg(target_arch = "x86_64")]
mod by_ring {
    use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use rustls::crypto::cipher::{self, InboundOpaqueMessage, Iv, make_tls13_aad};
    use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion};

    pub(super) struct Key {
        key: LessSafeKey,
        iv: Iv,
    }

    impl Key {
        pub(super) fn new(secrets: &ConnectionTrafficSecrets) -> Result<Self, Error> {
            let (algorithm, key, iv) = match secrets {
                ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
                ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
                _ => return Err(Error::General("not keys of AES-GCM".to_owned())),
            };
            let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Error::DecryptError)?;
            Ok(Self { key: LessSafeKey::new(key), iv: Iv::copy(iv.as_ref()) })
        }

        /// See [`super::Opener::open`].
        pub(super) fn open(&self, sequence: u64, bytes: &mut [u8], from: usize) -> Result<(ContentType, usize), Error> {
            let nonce = Nonce::assume_unique_for_key(cipher::Nonce::new(&self.iv, sequence).0);
            let aad = Aad::from(make_tls13_aad(bytes.len().saturating_sub(from)));
            let opened = self.key.open_within(nonce, aad, bytes, from..).map_err(|_| Error::DecryptError)?;
            let message = InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, opened)
                .into_tls13_unpadded_message()?;
            Ok((message.typ, message.payload.len()))
        }
    }
}
