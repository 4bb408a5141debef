//! Keys that sign registry tokens: PEM certificates and public keys, JWKS files; and which of them a token names.

use jsonwebtoken::Algorithm;
use rustls::pki_types::pem::{PemObject, SectionKind};

use super::certificate::{self, Certificate, CertificateError, Window};
use super::compact::{Compact, Header};
use super::jwks;
use super::key_id::{KeyId, KeyIdError};
use super::public_key::PublicKey;
use super::verifier::TokenError;

/// Keys of one authority. Far more than a rotation needs, and few enough to be looked through.
const MAX_KEYS: usize = 64;

/// Keys that are tried on a token that names none.
const MAX_TRIED: usize = 8;

/// Why a file of keys cannot be used. The message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither PEM certificates nor a JWKS.
    #[error("neither PEM certificates nor a JWK set (RFC 7517)")]
    Unreadable,
    /// A key type no registry signs with.
    #[error("only RSA (2048 bits and more) and P-256, P-384 keys are used by registries")]
    Unsupported,
    /// A secret where none belongs.
    #[error("holds a private key: give the certificate or the public key that goes with it")]
    Private,
    /// More keys than are looked through.
    #[error("more than 64 keys: leave out those that sign no tokens")]
    TooMany,
    /// A JWK's `kid`.
    #[error("a key's `kid` is not usable")]
    KeyId(#[from] KeyIdError),
}

/// The keys whose signatures count, with the algorithm pinned for each, and the certificates that may issue `x5c` leaves.
#[derive(Clone, Debug, Default)]
pub struct VerifyingKeys {
    keys: Vec<Trusted>,
    authorities: Vec<Certificate>,
}

#[derive(Clone, Debug)]
struct Trusted {
    key: PublicKey,
    algorithm: Algorithm,
    ids: Vec<KeyId>,
}

impl VerifyingKeys {
    /// Adds the content of one file: PEM certificates (and public keys), or a JWK set. Keys of other kinds that stand
    /// beside usable ones are left out. On an error nothing is added.
    ///
    /// # Errors
    /// [`KeyError`] when nothing usable is in it.
    pub fn add(&mut self, content: &[u8]) -> Result<(), KeyError> {
        let mut next = self.clone();
        if content.trim_ascii_start().starts_with(b"{") {
            next.add_jwks(content)?;
        } else {
            next.add_pem(content)?;
        }
        if next.keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        *self = next;
        Ok(())
    }

    /// Whether there is no key at all, so that no token can be believed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The `kid`s that tokens may name, all names of the first key first.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.iter().flat_map(|trusted| &trusted.ids)
    }

    fn add_jwks(&mut self, content: &[u8]) -> Result<(), KeyError> {
        let entries = jwks::read(content)?;
        if entries.is_empty() {
            return Err(KeyError::Unsupported);
        }
        for (key, algorithm, own) in entries {
            self.trust(key, algorithm, own);
        }
        Ok(())
    }

    fn add_pem(&mut self, content: &[u8]) -> Result<(), KeyError> {
        let (mut found, mut used) = (false, false);
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(content) {
            let (kind, der) = section.map_err(|_| KeyError::Unreadable)?;
            let key = match kind {
                SectionKind::Certificate => match Certificate::parse(&der) {
                    Ok(certificate) => {
                        let key = certificate.key.clone();
                        self.authorities.extend(certificate.is_authority().then_some(certificate));
                        Some(key)
                    }
                    Err(CertificateError::Unsupported) => None,
                    Err(CertificateError::Malformed) => return Err(KeyError::Unreadable),
                },
                SectionKind::PublicKey => PublicKey::from_spki(&der).ok(),
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                    return Err(KeyError::Private);
                }
                _ => continue,
            };
            found = true;
            if let Some(key) = key {
                used = true;
                let algorithm = key.kind().pinned();
                self.trust(key, algorithm, None);
            }
        }
        match (found, used) {
            (_, true) => Ok(()),
            (true, false) => Err(KeyError::Unsupported),
            (false, false) => Err(KeyError::Unreadable),
        }
    }

    fn trust(&mut self, key: PublicKey, algorithm: Algorithm, own: Option<KeyId>) {
        let known = |trusted: &&mut Trusted| trusted.key.spki() == key.spki() && trusted.algorithm == algorithm;
        if let Some(trusted) = self.keys.iter_mut().find(known) {
            trusted.ids.extend(own);
            return;
        }
        let mut ids = key.ids();
        ids.extend(own);
        self.keys.push(Trusted { key, algorithm, ids });
    }

    /// Checks a token's signature against the key that it names, and says when that key counts. The registries' order:
    /// `x5c` and nothing else, or else `kid`.
    pub(super) fn check(&self, token: &Compact<'_>) -> Result<Window, TokenError> {
        let algorithm = token.header().algorithm()?;
        let chain;
        let (candidates, window) = match &token.header().x5c {
            Some(x5c) => {
                chain = certificate::chain(x5c).ok_or(TokenError::Key)?;
                self.chained(&chain).ok_or(TokenError::Key)?
            }
            None => (self.named(token.header(), algorithm)?, Window::ALWAYS),
        };
        if candidates.is_empty() {
            return Err(TokenError::Key);
        }
        let mut fitting = candidates.iter().filter(|(_, pinned)| *pinned == algorithm).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::Algorithm);
        }
        fitting
            .any(|(key, pinned)| key.verifies(*pinned, token.message(), token.signature()))
            .then_some(window)
            .ok_or(TokenError::Signature)
    }

    /// The keys that a header's `kid` names; without one those it could mean.
    fn named(&self, header: &Header, algorithm: Algorithm) -> Result<Vec<Candidate<'_>>, TokenError> {
        if let Some(kid) = &header.kid {
            let id = KeyId::parse(kid).map_err(|_| TokenError::Key)?;
            return Ok(self.candidates(|trusted| trusted.ids.contains(&id)));
        }
        let fitting = self.candidates(|trusted| trusted.algorithm == algorithm);
        Ok(if fitting.is_empty() { self.candidates(|_| true) } else { fitting })
    }

    /// The leaf's key of an `x5c`, if it is one of ours or was issued by one of our certificates. The registries look
    /// at the chain's dates in either case.
    fn chained<'a>(&'a self, chain: &'a [Certificate]) -> Option<(Vec<Candidate<'a>>, Window)> {
        let leaf = chain.first()?;
        let own = self.candidates(|trusted| trusted.key.spki() == leaf.key.spki());
        if !own.is_empty() {
            return Some((own, leaf.window));
        }
        let window = certificate::anchored(chain, &self.authorities)?;
        Some((vec![(&leaf.key, leaf.key.kind().pinned())], window))
    }

    fn candidates(&self, wanted: impl Fn(&Trusted) -> bool) -> Vec<Candidate<'_>> {
        let keys = self.keys.iter().filter(|trusted| wanted(trusted)).take(MAX_TRIED);
        keys.map(|trusted| (&trusted.key, trusted.algorithm)).collect()
    }
}

/// A key that may have signed, with the algorithm pinned to it.
type Candidate<'a> = (&'a PublicKey, Algorithm);

#[cfg(test)]
mod tests;
