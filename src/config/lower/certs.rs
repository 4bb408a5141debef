//! Certificates and keys: PEM read, pairs matched, dates looked at.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use zeroize::{Zeroize, Zeroizing};

use super::Lowering;
use crate::base::clock::Timestamp;
use crate::config::file::{Pair, Signing};
use crate::config::item::At;
use crate::config::problem::Severity;
use crate::token::keys::VerifyingKeys;
use crate::token::minter::{Minter, MinterError};

/// A certificate chain, the leaf first, and its key.
type Client = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Lowering<'_> {
    /// A certificate of our own and its key, for the public listener.
    pub(super) fn served(&mut self, pair: &Pair) -> Option<Arc<CertifiedKey>> {
        let (certificate, key) = (pair.certificate.as_ref(), pair.key.as_ref());
        let chain = certificate.and_then(|path| Some((path, self.chain(path)?)));
        let key = key.and_then(|path| self.private_key(path)).map(Zeroizing::new);
        let ((path, chain), key) = (chain?, key?);
        self.matched(path, chain, &key).map(Arc::new)
    }

    /// A certificate of our own and its key, for a registry that asks for one.
    pub(super) fn client(&mut self, certificate: &At<PathBuf>, key: &At<PathBuf>) -> Option<Client> {
        let chain = self.chain(certificate);
        let key = self.private_key(key);
        let (chain, key) = (chain?, key?);
        self.matched(certificate, chain.clone(), &key)?;
        Some((chain, key))
    }

    /// Roots in place of the system's.
    pub(super) fn roots(&mut self, path: &At<PathBuf>) -> Option<Vec<CertificateDer<'static>>> {
        let roots = self.certificates(path)?;
        let mut store = RootCertStore::empty();
        if roots.iter().any(|root| store.add(root.clone()).is_err()) {
            self.unusable(path, "holds a certificate that cannot be a root", "name PEM certificates of an authority");
            return None;
        }
        Some(roots)
    }

    /// The keys whose signatures count.
    pub(super) fn trusted(&mut self, paths: &At<Vec<At<PathBuf>>>) -> Option<VerifyingKeys> {
        if paths.value.is_empty() {
            self.reporter.error(&paths.place, "nobody is trusted", "name at least one file");
            return None;
        }
        let mut keys = VerifyingKeys::default();
        let instead = "name PEM certificates or a JWKS file";
        let mut whole = true;
        for path in &paths.value {
            let Some(content) = self.public_file(path) else {
                whole = false;
                continue;
            };
            if let Err(error) = keys.add(&content) {
                self.unusable(path, &format!("cannot be used: {error}"), instead);
                whole = false;
            }
        }
        whole.then_some(keys)
    }

    /// What registry tokens are signed with.
    pub(super) fn minter(&mut self, signing: &Signing) -> Option<Minter> {
        let (key, certificate) = (signing.key.as_ref(), signing.certificate.as_ref());
        let secret = key.and_then(|path| self.private_file(path));
        let chain = certificate.and_then(|path| self.public_file(path));
        let (key, certificate, secret, chain) = (key?, certificate?, secret?, chain?);
        match Minter::new(&secret, &chain, signing.token_ttl.value.0) {
            Ok(minter) => {
                // A registry checks the dates of the chain in `x5c` at every request.
                let lives = (minter.certificate_begins(), minter.certificate_expires());
                let instead = "make a new one for the same key: registries refuse all that is signed with this one";
                self.dates(certificate, lives, Severity::Error, instead);
                Some(minter)
            }
            Err(error) => {
                let (path, instead) = match error {
                    MinterError::Key | MinterError::Sign => (key, "name a private key of P-256 or RSA in PEM"),
                    MinterError::Certificate => (certificate, "name PEM certificates, the leaf first"),
                    MinterError::Trial => (key, "try a new key and certificate; if they fail too, it is not the key"),
                    MinterError::Mismatch => (certificate, "name the certificate of `signing.key`"),
                };
                self.unusable(path, &format!("cannot be used: {error}"), instead);
                None
            }
        }
    }

    /// The certificates of a PEM file, and whether the first is in its time.
    fn chain(&mut self, path: &At<PathBuf>) -> Option<Vec<CertificateDer<'static>>> {
        let chain = self.certificates(path)?;
        if let Some((_, leaf)) = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok()) {
            let validity = leaf.validity();
            let lives = (Timestamp(validity.not_before.timestamp()), Timestamp(validity.not_after.timestamp()));
            self.dates(path, lives, Severity::Warning, "renew it: peers refuse it");
        }
        Some(chain)
    }

    fn certificates(&mut self, path: &At<PathBuf>) -> Option<Vec<CertificateDer<'static>>> {
        let content = self.public_file(path)?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
        match all {
            Ok(all) if !all.is_empty() && all.iter().all(|one| X509Certificate::from_der(one).is_ok()) => Some(all),
            _ => {
                self.unusable(path, "holds no certificate", "name PEM certificates, the leaf first");
                None
            }
        }
    }

    fn private_key(&mut self, path: &At<PathBuf>) -> Option<PrivateKeyDer<'static>> {
        let content = self.private_file(path)?;
        let mut key = PrivateKeyDer::from_pem_slice(&content).ok();
        let usable = key.take_if(|key| aws_lc_rs::sign::any_supported_type(key).is_ok());
        key.zeroize();
        if usable.is_none() {
            self.unusable(
                path,
                "holds no private key that TLS can use",
                "name an unencrypted PEM key: ECDSA, RSA or Ed25519",
            );
        }
        usable
    }

    /// Joins a chain and a key, if they belong together.
    fn matched(
        &mut self,
        certificate: &At<PathBuf>,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Option<CertifiedKey> {
        let pair = CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(key).ok()?);
        if pair.keys_match().is_err() {
            self.unusable(
                certificate,
                "is the certificate of another key",
                "name the certificate and the key that belong together",
            );
            return None;
        }
        Some(pair)
    }

    fn dates(&mut self, path: &At<PathBuf>, lives: (Timestamp, Timestamp), severity: Severity, instead: &str) {
        let (begins, expires) = lives;
        let what = if self.now > expires {
            format!("expired on {}", date(expires))
        } else if self.now < begins {
            format!("is not valid before {}", date(begins))
        } else {
            return;
        };
        let what = format!("{} {what}", self.resolve(&path.value).display());
        match severity {
            Severity::Error => self.reporter.error(&path.place, what, instead),
            Severity::Warning => self.reporter.warn(&path.place, what, instead),
        }
    }

    fn unusable(&mut self, path: &At<PathBuf>, what: &str, instead: &str) {
        let what = format!("{} {what}", self.resolve(&path.value).display());
        self.reporter.error(&path.place, what, instead);
    }
}

/// As certificates' tools write it.
fn date(moment: Timestamp) -> String {
    ASN1Time::from_timestamp(moment.0).map_or_else(|_| format!("second {}", moment.0), |time| time.to_string())
}
