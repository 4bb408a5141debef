//! `tidegate keys init`: what is missing is made, what is there is looked at.
//!
//! ```text
//! ca.key, ca.crt ─▶ tls.key, tls.crt                        clients trust ca.crt
//! registry-ca.key, registry-ca.crt ─▶ signing.key, signing.crt
//!        └─▶ registry-bundle.crt                            the registry trusts it, whatever the signing key
//! tickets.key
//! ```
//!
//! Two authorities: a registry that trusted the one of TLS would take tokens signed with Tidegate's TLS key.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::certificates::{self, Pair, Purpose};
use super::files::{self, Reader};
use super::{InitArgs, ticket};
use crate::base::clock::Timestamp;
use crate::cli::Exit;
use crate::token::claims::Claims;
use crate::token::keys::VerifyingKeys;
use crate::token::minter::Minter;
use crate::token::verifier::{Standing, Verifier};

/// Makes and looks.
///
/// # Errors
/// When a file cannot be read or written, or what is there does not suffice to make the rest.
pub(super) fn run(arguments: &InitArgs, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&arguments.dir).with_context(|| format!("cannot make {}", arguments.dir.display()))?;
    let mut init = Init { dir: &arguments.dir, now, out, wrong: false };
    let issuer = &arguments.issuer;
    init.pair("ca", &Purpose::Authority(format!("{issuer} CA")), None)?;
    init.pair("tls", &Purpose::Server(arguments.hosts.clone()), Some("ca"))?;
    init.pair("registry-ca", &Purpose::Authority(format!("{issuer} registry token CA")), None)?;
    init.pair("signing", &Purpose::Tokens(format!("{issuer} registry tokens")), Some("registry-ca"))?;
    init.bundle()?;
    init.tickets()?;
    Ok(if init.wrong { Exit::Wrong } else { Exit::Fine })
}

struct Init<'a> {
    dir: &'a Path,
    now: Timestamp,
    out: &'a mut dyn Write,
    wrong: bool,
}

impl Init<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A key and its certificate. A key alone gets a certificate anew, so that one that has ended is renewed by
    /// removing it. The key of an authority may be kept elsewhere while nothing is to be issued.
    fn pair(&mut self, stem: &str, purpose: &Purpose, authority: Option<&str>) -> anyhow::Result<()> {
        let (key_name, certificate_name) = (format!("{stem}.key"), format!("{stem}.crt"));
        let (key, certificate) = (files::read(&self.path(&key_name))?, files::read(&self.path(&certificate_name))?);
        if let Some(certificate) = certificate {
            if let Some(key) = &key {
                self.kept(&key_name, None)?;
                self.closed(&key_name)?;
                self.belong(&key_name, key, &certificate_name, &certificate)?;
            } else if !matches!(purpose, Purpose::Authority(_)) {
                self.wrong(&certificate_name, &format!("its key {key_name} is missing; without it, remove this too"))?;
            }
            return self.certificate(&certificate_name, &certificate, purpose);
        }
        let authority = authority.map(|authority| self.authority(authority, &certificate_name)).transpose()?;
        let key = match key {
            Some(key) => {
                self.kept(&key_name, None)?;
                self.closed(&key_name)?;
                key
            }
            None => {
                let key = certificates::key()?;
                self.make(&key_name, &key, Reader::Owner)?;
                key
            }
        };
        let certificate = certificates::issue(purpose, &key, authority.as_ref(), self.now)
            .with_context(|| format!("{certificate_name} cannot be made"))?;
        self.make(&certificate_name, &certificate, Reader::All)
    }

    fn authority(&self, stem: &str, wanted: &str) -> anyhow::Result<Pair> {
        let part = |name: String| match files::read(&self.path(&name)) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => bail!("{wanted} is missing, and {name}, which is needed to make it, as well: bring it back"),
            Err(error) => Err(error),
        };
        Ok(Pair { certificate: part(format!("{stem}.crt"))?.to_string(), key: part(format!("{stem}.key"))? })
    }

    /// The registry's `rootcertbundle`. Others may have put their certificates beside ours.
    fn bundle(&mut self) -> anyhow::Result<()> {
        let name = "registry-bundle.crt";
        if files::read(&self.path(name))?.is_none() {
            let root = files::read(&self.path("registry-ca.crt"))?.context("registry-ca.crt is missing")?;
            self.make(name, &root, Reader::All)?;
        } else {
            self.kept(name, None)?;
        }
        if !self.vouched(name)? {
            self.wrong(name, "a registry with this bundle refuses what signing.key signs: add registry-ca.crt to it")?;
        }
        Ok(())
    }

    /// Whether a registry that trusts the bundle takes tokens of the signing key: by signing one and checking it.
    fn vouched(&self, bundle: &str) -> anyhow::Result<bool> {
        let read = |name: &str| Ok::<_, anyhow::Error>(files::read(&self.path(name))?.unwrap_or_default());
        let (key, certificate) = (read("signing.key")?, read("signing.crt")?);
        let mut keys = VerifyingKeys::default();
        let Ok(minter) = Minter::new(key.as_bytes(), certificate.as_bytes(), Duration::from_secs(60)) else {
            return Ok(false);
        };
        if keys.add(read(bundle)?.as_bytes()).is_err() {
            return Ok(false);
        }
        let verifier = Verifier { keys, issuer: "x".into(), service: "x".into(), leeway: Duration::ZERO };
        let claims = Claims::parse(br#"{"iss":"x","exp":0}"#)?;
        let minted = minter.mint(&claims, "x", &[], self.now)?;
        let standing = verifier.verify(minted.token.expose()).and_then(|signed| signed.at(self.now));
        Ok(matches!(standing, Ok(Standing::Living(_))))
    }

    fn tickets(&mut self) -> anyhow::Result<()> {
        let name = "tickets.key";
        let Some(text) = files::read(&self.path(name))? else {
            return self.make(name, &format!("{}\n", ticket()?.as_str()), Reader::Owner);
        };
        self.kept(name, None)?;
        self.closed(name)?;
        let key = STANDARD.decode(text.trim()).map(Zeroizing::new).unwrap_or_default();
        if key.len() != 32 {
            self.wrong(name, "not 32 bytes in base64; `tidegate keys ticket` prints such a key")?;
        }
        Ok(())
    }

    fn make(&mut self, name: &str, content: &str, reader: Reader) -> anyhow::Result<()> {
        files::write(&self.path(name), content, reader)?;
        let until = leaf(content).map(|certificate| certificate.until);
        self.say("made", name, until)
    }

    fn kept(&mut self, name: &str, until: Option<Timestamp>) -> anyhow::Result<()> {
        self.say("kept", name, until)
    }

    fn say(&mut self, what: &str, name: &str, until: Option<Timestamp>) -> anyhow::Result<()> {
        let path = self.path(name);
        match until {
            Some(until) => writeln!(self.out, "{what}   {} (until {})", path.display(), until)?,
            None => writeln!(self.out, "{what}   {}", path.display())?,
        }
        Ok(())
    }

    fn wrong(&mut self, name: &str, why: &str) -> anyhow::Result<()> {
        self.wrong = true;
        writeln!(self.out, "wrong  {}: {why}", self.path(name).display())?;
        Ok(())
    }

    fn closed(&mut self, name: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        if files::is_open(&path)? {
            self.wrong(name, &format!("others may read it: chmod 600 {}", path.display()))?;
        }
        Ok(())
    }

    /// Says of a certificate that was there what would keep it from being of use.
    fn certificate(&mut self, name: &str, pem: &str, purpose: &Purpose) -> anyhow::Result<()> {
        let Some(leaf) = leaf(pem) else { return self.wrong(name, "not a certificate in PEM") };
        self.kept(name, Some(leaf.until))?;
        if leaf.until < self.now {
            self.wrong(name, "it has ended; remove it to have a new one made for the same key")?;
        }
        if let Purpose::Server(hosts) = purpose
            && let Some(host) = hosts.iter().find(|host| !leaf.names.contains(*host))
        {
            let why =
                format!("it is for {}, not for {host}; remove it to have a new one made", leaf.names.join(" and "));
            self.wrong(name, &why)?;
        }
        Ok(())
    }

    fn belong(&mut self, key_name: &str, key: &str, name: &str, certificate: &str) -> anyhow::Result<()> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.as_bytes()).flatten().collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok();
        let key = key.and_then(|key| rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).ok());
        let Some(key) = key else { return self.wrong(key_name, "not a private key in PEM") };
        if CertifiedKey::new(chain, key).keys_match().is_err() {
            self.wrong(name, &format!("it is for another key than {key_name}"))?;
        }
        Ok(())
    }
}

/// What is of interest of the first certificate of a file.
struct Leaf {
    until: Timestamp,
    names: Vec<String>,
}

fn leaf(pem: &str) -> Option<Leaf> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten().map(|names| &names.value.general_names);
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    Some(Leaf {
        until: Timestamp(certificate.validity().not_after.timestamp()),
        names: names.into_iter().flatten().filter_map(name).collect(),
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::IpAddr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| std::net::IpAddr::from(sixteen).to_string())
}
