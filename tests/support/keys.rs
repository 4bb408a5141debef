//! Keys and certificates, made anew for every run; none stands in the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    RsaKeySize,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The files of one run.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// The authority's RSA key, as GitLab has one, with its certificate and its libtrust id.
    pub(crate) authority_key: PathBuf,
    pub(crate) authority_certificate: PathBuf,
    pub(crate) authority_kid: String,
    /// The authority's public key as a key set that names it by that id: what a distribution 3.x needs to know it at all.
    pub(crate) authority_jwks: PathBuf,
    /// Tidegate's signing key (P-256), its leaf, and the certificate authority that registries are told to trust.
    pub(crate) signing_key: PathBuf,
    pub(crate) signing_leaf: PathBuf,
    pub(crate) signing_ca: PathBuf,
    /// A server certificate for 127.0.0.1, localhost and what else was asked for, and who issued it.
    pub(crate) tls_key: PathBuf,
    pub(crate) tls_certificate: PathBuf,
    pub(crate) tls_ca: PathBuf,
}

impl Keys {
    /// Makes them all under `dir`; the server certificate holds for the names or addresses in `also` too.
    pub(crate) fn make(dir: &Path, also: &[String]) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let certificate = named("gitlab-issuer")?.self_signed(&rsa)?;
        let kid = libtrust_kid(certificate.der())?;
        let jwks = key_set(certificate.der(), &kid)?;

        let (signing_ca, signing_leaf, signing_key) = issue("the registry's bundle", Vec::new())?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()].into_iter().chain(also.iter().cloned()).collect();
        let (tls_ca, tls_leaf, tls_key) = issue("the clients' roots", names)?;
        Ok(Self {
            authority_key: secret(dir, "authority.key", &rsa.serialize_pem())?,
            authority_certificate: write(dir, "authority.crt", &certificate.pem())?,
            authority_kid: kid,
            authority_jwks: write(dir, "authority.jwks", &jwks)?,
            signing_key: secret(dir, "signing.key", &signing_key)?,
            signing_leaf: write(dir, "signing.crt", &signing_leaf)?,
            signing_ca: write(dir, "signing-ca.crt", &signing_ca)?,
            tls_key: secret(dir, "tls.key", &tls_key)?,
            tls_certificate: write(dir, "tls.crt", &tls_leaf)?,
            tls_ca: write(dir, "tls-ca.crt", &tls_ca)?,
        })
    }
}

/// A certificate authority and a leaf of it: (CA certificate, leaf certificate, leaf key), all PEM.
fn issue(name: &str, names: Vec<String>) -> Result<(String, String, String)> {
    let mut params = named(name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, format!("leaf of {name}"));
    let leaf = leaf.signed_by(&key, &ca)?;
    Ok((ca.pem(), leaf.pem(), key.serialize_pem()))
}

fn named(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// libtrust's key id: SHA-256 of the public key's DER, its first 30 bytes in base32, in groups of four.
fn libtrust_kid(certificate: &[u8]) -> Result<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| anyhow!("{error}"))?;
    let hash = digest(&SHA256, certificate.public_key().raw);
    let letters = base32(hash.as_ref().get(..30).context("SHA-256 has 32 bytes")?);
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(groups.join(":"))
}

/// RFC 4648 §6, for lengths that need no padding.
fn base32(bytes: &[u8]) -> Vec<char> {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)).collect::<Vec<u8>>();
    let alphabet: Vec<char> = ('A'..='Z').chain('2'..='7').collect();
    bits.chunks(5)
        .filter_map(|five| alphabet.get(usize::from(five.iter().fold(0, |value, bit| value << 1 | bit))))
        .copied()
        .collect()
}

fn key_set(certificate: &[u8], kid: &str) -> Result<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| anyhow!("{error}"))?;
    let PublicKey::RSA(rsa) = certificate.public_key().parsed()? else { anyhow::bail!("the authority's key is RSA") };
    let number =
        |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
    let key = serde_json::json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": number(rsa.modulus), "e": number(rsa.exponent),
    });
    Ok(serde_json::json!({ "keys": [key] }).to_string())
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Tidegate refuses to read a key that others may read.
fn secret(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = write(dir, name, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path)
}
