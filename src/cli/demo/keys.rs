//! The keys of a run: two certificates in the registry's bundle, and who signs with which key.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use crate::token::minter::Minter;

/// What the registry's `rootcertbundle` is called, below the run's directory.
pub(super) const BUNDLE: &str = "bundle.pem";
/// The authority's certificate, for those who verify its tokens.
pub(super) const AUTHORITY: &str = "authority.crt";
/// Tidegate's key and certificate.
pub(super) const SIGNING_KEY: &str = "signing.key";
/// See [`SIGNING_KEY`].
pub(super) const SIGNING: &str = "signing.crt";

/// Makes them all below `dir`, and gives the authority what it signs with: tokens of `life`, RS256 as GitLab's.
///
/// The authority's key stays in memory. Its tokens carry `x5c`, unlike GitLab's, so that every registry knows them.
pub(super) fn make(dir: &Path, life: Duration) -> anyhow::Result<Minter> {
    let authority_key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let authority = named("demo authority")?.self_signed(&authority_key)?.pem();
    let signing_key = KeyPair::generate()?;
    let signing = named("demo tidegate")?.self_signed(&signing_key)?.pem();
    write(dir, AUTHORITY, &authority)?;
    write(dir, SIGNING, &signing)?;
    write(dir, SIGNING_KEY, &signing_key.serialize_pem())?;
    write(dir, BUNDLE, &format!("{authority}{signing}"))?;
    Ok(Minter::new(authority_key.serialize_pem().as_bytes(), authority.as_bytes(), life)?)
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// For its owner alone, as Tidegate wants a key to be; for certificates it does no harm.
fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(name);
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    open().and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| path.display().to_string())
}
