//! X.509 certificates (RFC 5280), as far as they say who may sign tokens: keys in configured files, chains in `x5c`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::public_key::{CertificateAlgorithm, PublicKey};
use crate::base::clock::Timestamp;

/// Of an `x5c`: the leaf and three above it.
const MAX_CHAIN: usize = 4;

/// Why a certificate is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("not an X.509 certificate")]
    Malformed,
    #[error("the key of the certificate is of a kind that registries do not use")]
    Unsupported,
}

/// From when to when something counts, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Window {
    /// A key that was configured as such has no dates.
    pub(super) const ALWAYS: Self = Self { from: Timestamp(i64::MIN), to: Timestamp(i64::MAX) };

    /// What both allow.
    pub(super) fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }
}

/// A certificate, read.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) key: PublicKey,
    pub(super) window: Window,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    /// May issue others, with at most so many issuers in between.
    authority: Option<u32>,
    signed: Vec<u8>,
    algorithm: Option<CertificateAlgorithm>,
    signature: Vec<u8>,
}

impl Certificate {
    /// Reads one DER certificate.
    pub(super) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let key = PublicKey::from_spki(certificate.public_key().raw).map_err(|_| CertificateError::Unsupported)?;
        let validity = certificate.validity();
        Ok(Self {
            key,
            window: Window {
                from: Timestamp(validity.not_before.timestamp()),
                to: Timestamp(validity.not_after.timestamp()),
            },
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            authority: authority(&certificate),
            signed: certificate.tbs_certificate.as_ref().to_vec(),
            algorithm: algorithm(&certificate),
            signature: certificate.signature_value.data.to_vec(),
        })
    }

    /// Whether this certificate may issue others (RFC 5280 §4.2.1.3, §4.2.1.9).
    pub(super) fn is_authority(&self) -> bool {
        self.authority.is_some()
    }

    /// Whether `self` issued `other`, with `between` further issuers on the way down to the leaf.
    fn issued(&self, other: &Self, between: usize) -> bool {
        let reaches = |bound: u32| usize::try_from(bound).is_ok_and(|bound| between <= bound);
        self.authority.is_some_and(reaches)
            && self.subject == other.issuer
            && other.algorithm.is_some_and(|algorithm| self.key.certifies(algorithm, &other.signed, &other.signature))
    }
}

/// Reads an `x5c` (RFC 7515 §4.1.6).
pub(super) fn chain(x5c: &[String]) -> Option<Vec<Certificate>> {
    if x5c.is_empty() || x5c.len() > MAX_CHAIN {
        return None;
    }
    x5c.iter().map(|text| Certificate::parse(&STANDARD.decode(text).ok()?).ok()).collect()
}

/// When a chain counts, if its leaf was issued by one of `roots`, straight or through the chain's own certificates in
/// their order. A key out of the chain verifies nothing before it was itself verified, from the root down.
pub(super) fn anchored(chain: &[Certificate], roots: &[Certificate]) -> Option<Window> {
    for (depth, top) in chain.iter().enumerate() {
        let Some(root) = roots.iter().find(|root| root.issued(top, depth)) else { continue };
        let below = chain.get(..=depth)?;
        let links = below.iter().zip(below.iter().skip(1)).enumerate();
        return links
            .rev()
            .all(|(between, (lower, upper))| upper.issued(lower, between))
            .then(|| below.iter().fold(root.window, |window, certificate| window.and(certificate.window)));
    }
    None
}

/// The path length an issuer may have beneath it; `None` for a certificate that may issue nothing.
fn authority(certificate: &X509Certificate<'_>) -> Option<u32> {
    let understood = |oid: &str| matches!(oid, "2.5.29.15" | "2.5.29.17" | "2.5.29.19" | "2.5.29.37");
    let strange = certificate
        .extensions()
        .iter()
        .any(|extension| extension.critical && !understood(&extension.oid.to_id_string()));
    let constraints = certificate.basic_constraints().ok()??.value;
    let signs = match certificate.key_usage().ok()? {
        Some(usage) => usage.value.key_cert_sign(),
        None => true,
    };
    (constraints.ca && signs && !strange).then_some(constraints.path_len_constraint.unwrap_or(u32::MAX))
}

fn algorithm(certificate: &X509Certificate<'_>) -> Option<CertificateAlgorithm> {
    // RFC 5280 §4.1.1.2: the name inside what is signed and the one outside must be the same.
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return None;
    }
    match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.11" => Some(CertificateAlgorithm::RsaSha256),
        "1.2.840.113549.1.1.12" => Some(CertificateAlgorithm::RsaSha384),
        "1.2.840.113549.1.1.13" => Some(CertificateAlgorithm::RsaSha512),
        "1.2.840.10045.4.3.2" => Some(CertificateAlgorithm::EcdsaSha256),
        "1.2.840.10045.4.3.3" => Some(CertificateAlgorithm::EcdsaSha384),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
