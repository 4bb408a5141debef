//! The certificates of `keys init`: two authorities, and one certificate under each.

use std::net::IpAddr;

use anyhow::{Context, bail};
use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use zeroize::Zeroizing;

use crate::base::clock::{DAY, Timestamp};

/// Of an authority: as long as an installation without any care should run.
const AUTHORITY_YEARS: i64 = 10;
/// Of a certificate: what Apple's systems take at most from an authority of one's own.
const DAYS: i64 = 825;

/// What a certificate is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// To issue certificates, and be told apart by this name.
    Authority(String),
    /// To be Tidegate's at these names and addresses.
    Server(Vec<String>),
    /// To sign registry tokens.
    Tokens(String),
}

/// A certificate and its key, PEM.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// A new P-256 key, PEM (PKCS#8): the one kind that clients and all registries take, and quick to sign with.
pub(super) fn key() -> anyhow::Result<Zeroizing<String>> {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("no key can be made")?;
    Ok(Zeroizing::new(pair.serialize_pem()))
}

/// A certificate for this key, issued by `authority` or by itself. PEM.
pub(super) fn issue(purpose: &Purpose, key: &str, authority: Option<&Pair>, now: Timestamp) -> anyhow::Result<String> {
    let key = KeyPair::from_pem(key).context("not a private key in PEM")?;
    let params = params(purpose, now)?;
    let certificate = match authority {
        None => params.self_signed(&key),
        Some(pair) => {
            let issuer = KeyPair::from_pem(&pair.key).context("the authority's key is not a private key in PEM")?;
            let issuer = Issuer::from_ca_cert_pem(&pair.certificate, issuer);
            params.signed_by(&key, &issuer.context("the authority's certificate is none")?)
        }
    };
    Ok(certificate.context("no certificate can be made")?.pem())
}

fn params(purpose: &Purpose, now: Timestamp) -> anyhow::Result<CertificateParams> {
    let (name, days) = match purpose {
        Purpose::Authority(name) => (name.clone(), AUTHORITY_YEARS * 365),
        Purpose::Server(hosts) => (hosts.first().context("no host")?.clone(), DAYS),
        Purpose::Tokens(name) => (name.clone(), DAYS),
    };
    let names = if let Purpose::Server(hosts) = purpose { checked(hosts)? } else { Vec::new() };
    let mut params = CertificateParams::new(names).context("a host is no name")?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial()?);
    // Since yesterday: machines whose clocks are a little behind take it at once.
    let (year, month, first) = day(Timestamp(now.0 - DAY))?;
    params.not_before = rcgen::date_time_ymd(year, month, first);
    let (year, month, last) = day(Timestamp(now.0 + days * DAY))?;
    params.not_after = rcgen::date_time_ymd(year, month, last);
    params.use_authority_key_identifier_extension = true;
    match purpose {
        Purpose::Authority(_) => {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        Purpose::Server(_) => {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        Purpose::Tokens(_) => params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
    }
    Ok(params)
}

/// Host names and addresses, without ports.
fn checked(hosts: &[String]) -> anyhow::Result<Vec<String>> {
    for host in hosts {
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        let name = host.strip_prefix("*.").unwrap_or(host);
        if host.parse::<IpAddr>().is_err() && !(host.len() <= 253 && name.split('.').all(label)) {
            bail!("--host {host:?} is neither a name nor an address; write it without scheme and port");
        }
    }
    Ok(hosts.to_vec())
}

/// 127 random bits: positive, and no two certificates of an authority alike (RFC 5280 §4.1.2.2).
fn serial() -> anyhow::Result<SerialNumber> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).ok().context("the system gives no randomness")?;
    let number = u128::from_be_bytes(bytes) >> 1 | 1 << 126;
    Ok(SerialNumber::from_slice(&number.to_be_bytes()))
}

/// Year, month and day, as rcgen wants them.
fn day(moment: Timestamp) -> anyhow::Result<(i32, u8, u8)> {
    let (year, month, day) = moment.civil();
    Ok((i32::try_from(year)?, u8::try_from(month)?, u8::try_from(day)?))
}
