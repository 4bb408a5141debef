//! The configuration file: what is wrong stands in the file, what is right is right again in another spelling of the
//! same TOML, and no key file's content is ever repeated.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tidegate::base::clock::Timestamp;
use tidegate::config::{self, Error, Settings};

const TICKET_KEY: [u8; 32] = *b"a key that no complaint may hold";

/// The bytes are a file. Beside it lie `tls.crt`, `tls.key`, `signing.crt`, `signing.key`, `authority.crt` and
/// `tickets.key`.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = load(text);
    let said = match &read {
        Ok(settings) => format!("{settings:?}"),
        Err(error) => format!("{error}"),
    };
    assert!(!folder().secrets.iter().any(|secret| said.contains(secret)), "it repeats a key: {said}");
    let problems = match &read {
        Ok(settings) => &settings.warnings,
        Err(Error::Wrong(problems)) => problems,
        Err(error @ Error::Unreadable { .. }) => panic!("{error}"),
    };
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in &problems.list {
        let line = lines.get(problem.line.wrapping_sub(1)).unwrap_or_else(|| panic!("{problem} is beyond the file"));
        assert!((1..=line.chars().count() + 1).contains(&problem.column), "{problem} is beyond its line");
        assert!(!problem.what.is_empty() && !problem.instead.is_empty(), "{problem} says nothing");
    }
    // A comment more changes nothing.
    let commented = load(&format!("{text}\n# and that is all"));
    assert_eq!(read.is_ok(), commented.is_ok(), "a comment changes what it is");
    match read {
        Ok(settings) => again(text, &settings),
        Err(Error::Wrong(problems)) => assert!(!problems.list.is_empty(), "it is refused without a reason"),
        Err(Error::Unreadable { .. }) => {}
    }
}

/// The same tree, written by the TOML library in its own order and spelling.
fn again(text: &str, settings: &Settings) {
    let tree: toml::Table = text.parse().unwrap_or_else(|error| panic!("it was taken and is no TOML: {error}"));
    let written = toml::to_string(&tree).expect("TOML");
    let again = load(&written).unwrap_or_else(|error| panic!("it is refused once it is written again: {error}"));
    let facts = |settings: &Settings| {
        let mut sites: Vec<String> = settings.sites.iter().map(|site| format!("{site:?}")).collect();
        sites.sort();
        let Settings { server, trusted_proxies, admin, authorities, signing, tokens, push, log, .. } = settings;
        format!("{server:?}{trusted_proxies:?}{admin:?}{authorities:?}{sites:?}{signing:?}{tokens:?}{push:?}{log:?}")
    };
    assert_eq!(facts(&again), facts(settings), "it means something else once it is written again");
}

fn load(text: &str) -> Result<Settings, Error> {
    config::read(&folder().files.path().join("tidegate.toml"), text, Timestamp(1_800_000_000))
}

struct Folder {
    files: TempDir,
    secrets: Vec<String>,
}

/// The files that a configuration can name.
fn folder() -> &'static Folder {
    static FOLDER: OnceLock<Folder> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let files = tempfile::tempdir().expect("a folder");
        let mut secrets = vec![STANDARD.encode(TICKET_KEY)];
        for name in ["tls", "signing", "authority"] {
            let pair = KeyPair::generate().expect("a key pair");
            let params = CertificateParams::new(["registry.test".to_owned()]).expect("a certificate's names");
            let certificate = params.self_signed(&pair).expect("a certificate");
            write(files.path().join(format!("{name}.crt")), &certificate.pem(), 0o644);
            write(files.path().join(format!("{name}.key")), &pair.serialize_pem(), 0o600);
            secrets.extend(pair.serialize_pem().lines().nth(1).map(str::to_owned));
        }
        write(files.path().join("tickets.key"), secrets.first().expect("the ticket key"), 0o600);
        Folder { files, secrets }
    })
}

fn write(path: PathBuf, text: &str, mode: u32) {
    fs::write(&path, text).expect("a file");
    fs::set_permissions(Path::new(&path), Permissions::from_mode(mode)).expect("a mode");
}
