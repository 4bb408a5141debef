//! A folder with every file that the configurations of these tests name. Keys are made at run time: none lies in git.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use assert_cmd::Command;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// Base64 of 32 and of 16 bytes.
const TICKET_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
const SHORT_KEY: &str = "AAECAwQFBgcICQoLDA0ODw==\n";

/// Removed when dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// A folder with keys, certificates, ticket keys, and files that nothing can be made of.
    pub(crate) fn new() -> Result<Self> {
        let folder = Self(TempDir::new()?);
        for name in ["tls", "client", "signing"] {
            let key = KeyPair::generate()?;
            folder.private(&format!("{name}.key"), &key.serialize_pem())?;
            folder.public(&format!("{name}.crt"), &certificate(&key, 2100)?)?;
            folder.public(&format!("{name}-expired.crt"), &certificate(&key, 2020)?)?;
        }
        for name in ["gitlab-ca.crt", "gitlab-registry.crt", "registry-ca.crt"] {
            folder.public(name, &certificate(&KeyPair::generate()?, 2100)?)?;
        }
        for name in ["tickets.key", "tickets.previous.key"] {
            folder.private(name, TICKET_KEY)?;
        }
        folder.private("short.key", SHORT_KEY)?;
        folder.public("open.key", &KeyPair::generate()?.serialize_pem())?;
        folder.public("open-tickets.key", TICKET_KEY)?;
        folder.private("empty.crt", "")?;
        folder.private("garbage.crt", "There is no certificate in this file.\n")?;
        fs::create_dir(folder.path("folder"))?;
        Ok(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file that everybody may read.
    pub(crate) fn public(&self, name: &str, content: &str) -> Result<()> {
        self.write(name, content, 0o644)
    }

    /// A file that its owner alone may read.
    pub(crate) fn private(&self, name: &str, content: &str) -> Result<()> {
        self.write(name, content, 0o600)
    }

    /// Copies a configuration of `tests/fixtures/config` here.
    pub(crate) fn fixture(&self, kind: &str, name: &str) -> Result<PathBuf> {
        let from = fixtures(kind).join(name).with_extension("toml");
        let to = self.path("tidegate.toml");
        fs::copy(from, &to)?;
        Ok(to)
    }

    /// The program, started in this folder.
    pub(crate) fn tidegate(&self, arguments: &[&str]) -> Command {
        let mut command = assert_cmd::cargo::cargo_bin_cmd!("tidegate");
        command.current_dir(self.0.path()).env_remove("TIDEGATE_CONFIG").args(arguments);
        command
    }

    fn write(&self, name: &str, content: &str, mode: u32) -> Result<()> {
        fs::write(self.path(name), content)?;
        fs::set_permissions(self.path(name), Permissions::from_mode(mode))?;
        Ok(())
    }
}

/// Where the configurations lie.
pub(crate) fn fixtures(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(kind)
}

/// A self-signed certificate in PEM that ends with the year's first day.
fn certificate(key: &KeyPair, year: i32) -> Result<String> {
    let mut params = CertificateParams::new(["registry.example.com".to_owned()])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    Ok(params.self_signed(key)?.pem())
}
