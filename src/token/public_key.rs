//! One public key of a kind that registries use: RSA of 2048 to 8192 bits, P-256, P-384.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::key_id::KeyId;

/// Not one of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA key of 2048 to 8192 bits, nor one on P-256 or P-384")]
pub(super) struct Unsupported;

/// The kind of a key; with it goes the algorithm that is pinned to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa,
    P256,
    P384,
}

/// How a certificate was signed (RFC 5758, RFC 4055; SHA-1 is out).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateAlgorithm {
    RsaSha256,
    RsaSha384,
    RsaSha512,
    EcdsaSha256,
    EcdsaSha384,
}

/// A public key. Equal keys have equal `spki`, however they were written.
#[derive(Clone)]
pub(super) struct PublicKey {
    kind: Kind,
    /// DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), written anew from the key itself.
    spki: Vec<u8>,
    thumbprints: Vec<KeyId>,
    decoding: DecodingKey,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`.
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, Unsupported> {
        let kind = kind_of(der).ok_or(Unsupported)?;
        let parsed = ParsedPublicKey::new(kind.verification(), der).map_err(|_| Unsupported)?;
        Self::from_canonical(kind, parsed.as_der().map_err(|_| Unsupported)?.as_ref())
    }

    /// An RSA key of a JWK: `n` and `e` (RFC 7518 §6.3.1).
    pub(super) fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, Unsupported> {
        let components = PublicKeyComponents { n: trimmed(modulus), e: trimmed(exponent) };
        Self::from_spki(components.as_der().map_err(|_| Unsupported)?.as_ref())
    }

    /// An EC key of a JWK: `x` and `y` at full length (RFC 7518 §6.2.1).
    pub(super) fn from_point(kind: Kind, x: &[u8], y: &[u8]) -> Result<Self, Unsupported> {
        let point = [&[4], x, y].concat();
        let parsed = ParsedPublicKey::new(kind.verification(), point).map_err(|_| Unsupported)?;
        Self::from_canonical(kind, parsed.as_der().map_err(|_| Unsupported)?.as_ref())
    }

    fn from_canonical(kind: Kind, spki: &[u8]) -> Result<Self, Unsupported> {
        let (_, info) = SubjectPublicKeyInfo::from_der(spki).map_err(|_| Unsupported)?;
        let (thumbprints, decoding) = match (kind, info.parsed().map_err(|_| Unsupported)?) {
            (Kind::Rsa, Parsed::RSA(key)) => {
                let (modulus, exponent) = (trimmed(key.modulus), trimmed(key.exponent));
                if !(2048..=8192).contains(&bits(modulus)) {
                    return Err(Unsupported);
                }
                let thumbprint = KeyId::thumbprint_rsa(exponent, modulus);
                (vec![thumbprint], DecodingKey::from_rsa_raw_components(modulus, exponent))
            }
            (Kind::P256 | Kind::P384, Parsed::EC(point)) => {
                let (curve, length) = if kind == Kind::P256 { ("P-256", 32) } else { ("P-384", 48) };
                let coordinates = point.data().strip_prefix(&[4]).ok_or(Unsupported)?;
                let (x, y) = coordinates.split_at_checked(length).ok_or(Unsupported)?;
                let mut thumbprints = vec![KeyId::thumbprint_ec(curve, x, y)];
                if trimmed(x) != x || trimmed(y) != y {
                    thumbprints.push(KeyId::thumbprint_ec(curve, trimmed(x), trimmed(y)));
                }
                (thumbprints, DecodingKey::from_ec_der(point.data()))
            }
            _ => return Err(Unsupported),
        };
        Ok(Self { kind, spki: spki.to_vec(), thumbprints, decoding })
    }

    /// DER `SubjectPublicKeyInfo`.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// RSA or a curve.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a token calls this key by one of the names that follow from the key itself.
    pub(super) fn ids(&self) -> Vec<KeyId> {
        let mut ids = vec![KeyId::libtrust(&self.spki)];
        ids.extend_from_slice(&self.thumbprints);
        ids
    }

    /// Whether `signature` (base64url) of a token is this key's. An algorithm of another family never is.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm).unwrap_or(false)
    }

    /// Whether `signature` of a certificate is this key's.
    pub(super) fn certifies(&self, algorithm: CertificateAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, algorithm) {
            (Kind::Rsa, CertificateAlgorithm::RsaSha256) => &RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, CertificateAlgorithm::RsaSha384) => &RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, CertificateAlgorithm::RsaSha512) => &RSA_PKCS1_2048_8192_SHA512,
            (Kind::P256, CertificateAlgorithm::EcdsaSha256) => &ECDSA_P256_SHA256_ASN1,
            (Kind::P256, CertificateAlgorithm::EcdsaSha384) => &ECDSA_P256_SHA384_ASN1,
            (Kind::P384, CertificateAlgorithm::EcdsaSha256) => &ECDSA_P384_SHA256_ASN1,
            (Kind::P384, CertificateAlgorithm::EcdsaSha384) => &ECDSA_P384_SHA384_ASN1,
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.spki).verify(message, signature).is_ok()
    }
}

impl Kind {
    /// The one algorithm that counts where nothing else is configured.
    pub(super) fn pinned(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::RS256,
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rsa => &RSA_PKCS1_2048_8192_SHA256,
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
        }
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, KeyId::libtrust(&self.spki).as_str())
    }
}

/// The kind that the algorithm identifier says (RFC 3279 §2.3.1, RFC 5480 §2.1.1); a curve must be named.
fn kind_of(spki: &[u8]) -> Option<Kind> {
    let (rest, info) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let curve = || info.algorithm.parameters.as_ref()?.as_oid().ok().map(|oid| oid.to_id_string());
    match info.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => Some(Kind::Rsa),
        "1.2.840.10045.2.1" => match curve()?.as_str() {
            "1.2.840.10045.3.1.7" => Some(Kind::P256),
            "1.3.132.0.34" => Some(Kind::P384),
            _ => None,
        },
        _ => None,
    }
}

/// A big-endian number without its leading zeros.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The length of a big-endian number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros());
    number.len() * 8 - unused as usize
}

#[cfg(test)]
mod tests;
