//! The certificates we serve, chosen by the name a client asks for (RFC 6066 §3), and replaced while we run.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;
use crate::base::clock::Timestamp;
use crate::telemetry::metrics::Metrics;

/// Every certificate of a listener. Handshakes begun before [`Certificates::replace`] end with the old ones.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Named>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Named {
    first: Arc<CertifiedKey>,
    /// By DNS name, lower case.
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows the `*.` of a wildcard.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// Serves `keys`; the first also answers for names that none of them has.
    ///
    /// # Errors
    /// [`Error::NoCertificate`] for an empty list, [`Error::Certificate`] for one that cannot be read.
    pub fn new(keys: &[Arc<CertifiedKey>], metrics: Arc<Metrics>) -> Result<Self, Error> {
        let current = ArcSwap::from_pointee(Named::read(keys, &metrics)?);
        Ok(Self { current, metrics })
    }

    /// Serves `keys` from now on, or goes on as before when there is something wrong with them.
    ///
    /// # Errors
    /// As [`Certificates::new`].
    pub fn replace(&self, keys: &[Arc<CertifiedKey>]) -> Result<(), Error> {
        self.current.store(Arc::new(Named::read(keys, &self.metrics)?));
        Ok(())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.current.load();
        let candidates = hello.server_name().map(|name| named.of(name)).unwrap_or_default();
        // One name may have an ECDSA and an RSA certificate: the first the client can check is taken.
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        Some(Arc::clone(candidates.iter().find(usable).or(candidates.first()).unwrap_or(&named.first)))
    }
}

impl Named {
    fn read(keys: &[Arc<CertifiedKey>], metrics: &Metrics) -> Result<Self, Error> {
        let first = keys.first().ok_or(Error::NoCertificate)?;
        let mut named = Self { first: Arc::clone(first), exact: HashMap::new(), wildcard: HashMap::new() };
        for key in keys {
            named.add(key, metrics)?;
        }
        Ok(named)
    }

    fn add(&mut self, key: &Arc<CertifiedKey>, metrics: &Metrics) -> Result<(), Error> {
        let leaf = key.end_entity_cert().map_err(|_| Error::NoCertificate)?;
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| Error::Certificate)?;
        let alternatives = certificate.subject_alternative_name().map_err(|_| Error::Certificate)?;
        let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
        let mut known_by = None;
        for name in names {
            let GeneralName::DNSName(name) = name else { continue };
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(parent) => self.wildcard.entry(parent.into()).or_default().push(Arc::clone(key)),
                None => self.exact.entry(name.as_str().into()).or_default().push(Arc::clone(key)),
            }
            known_by.get_or_insert(name);
        }
        let known_by = known_by.unwrap_or_else(|| certificate.subject().to_string());
        metrics.certificate(&known_by, Timestamp(certificate.validity().not_after.timestamp()));
        Ok(())
    }

    /// The certificates that have `name`, an exact one before a wildcard's (RFC 9525 §6.3: one label, the leftmost).
    fn of(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let name = name.to_ascii_lowercase();
        let by_parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name.as_str()).or_else(by_parent).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
