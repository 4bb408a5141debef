use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::token::testing::NOW;

fn init(dir: &Path, hosts: &[&str]) -> (Exit, String) {
    init_at(dir, hosts, NOW)
}

fn init_at(dir: &Path, hosts: &[&str], now: Timestamp) -> (Exit, String) {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let command = Command::Init(InitArgs { dir: dir.to_owned(), hosts, issuer: "Tidegate".to_owned() });
    let mut out = Vec::new();
    let exit = run(&KeysArgs { command }, now, &mut out).unwrap();
    (exit, String::from_utf8(out).unwrap())
}

/// Names and contents.
fn content(dir: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let read = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

const ALL: [&str; 10] = [
    "ca.crt",
    "ca.key",
    "registry-bundle.crt",
    "registry-ca.crt",
    "registry-ca.key",
    "signing.crt",
    "signing.key",
    "tickets.key",
    "tls.crt",
    "tls.key",
];

#[test]
fn the_first_run_makes_all_and_the_second_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("new/certs");
    let (exit, said) = init(&inner, &["registry.localhost", "127.0.0.1"]);
    assert_eq!(exit, Exit::Fine, "{said}");
    assert_eq!(said.matches("made ").count(), 10, "{said}");
    let made = content(&inner);
    assert_eq!(made.keys().map(String::as_str).collect::<Vec<_>>(), ALL);
    let (exit, said) = init(&inner, &["registry.localhost", "127.0.0.1"]);
    assert_eq!(exit, Exit::Fine, "{said}");
    assert_eq!(said.matches("kept ").count(), 10, "{said}");
    assert_eq!(content(&inner), made);
    for secret in made.iter().filter(|(name, _)| name.ends_with(".key")).map(|(_, content)| content) {
        assert!(secret.lines().all(|line| !said.contains(line)), "a key was shown");
    }
}

#[test]
fn keys_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &["localhost"]);
    for name in ALL {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o600, 0o600, "{name}");
        if name.ends_with(".key") {
            assert_eq!(mode, 0o600, "{name}");
        }
    }
    fs::set_permissions(dir.path().join("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (exit, said) = init(dir.path(), &["localhost"]);
    assert_eq!(exit, Exit::Wrong);
    assert!(said.contains("tls.key: others may read it"), "{said}");
}

#[test]
fn openssl_takes_the_chains_and_the_names() {
    let dir = tempfile::tempdir().unwrap();
    init_at(dir.path(), &["registry.localhost", "10.0.0.7"], crate::base::clock::Clock::System.now());
    let verify = |arguments: &[&str]| {
        let output =
            std::process::Command::new("openssl").arg("verify").args(arguments).current_dir(dir.path()).output();
        output.unwrap().status.success()
    };
    assert!(verify(&[
        "-x509_strict",
        "-CAfile",
        "ca.crt",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "registry.localhost",
        "tls.crt"
    ]));
    assert!(verify(&["-x509_strict", "-CAfile", "ca.crt", "-verify_ip", "10.0.0.7", "tls.crt"]));
    assert!(verify(&["-x509_strict", "-CAfile", "registry-bundle.crt", "signing.crt"]));
    assert!(!verify(&["-CAfile", "registry-bundle.crt", "tls.crt"]), "the TLS key must not speak to the registry");
    assert!(!verify(&["-CAfile", "ca.crt", "signing.crt"]));
}

#[test]
fn a_removed_certificate_is_made_anew_for_its_key() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &["localhost"]);
    let before = content(dir.path());
    fs::remove_file(dir.path().join("tls.crt")).unwrap();
    fs::remove_file(dir.path().join("signing.crt")).unwrap();
    let (exit, said) = init(dir.path(), &["other"]);
    assert_eq!(exit, Exit::Fine, "{said}");
    let after = content(dir.path());
    for (name, content) in &before {
        assert_eq!(after[name] == *content, !["tls.crt", "signing.crt"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn an_authoritys_key_may_be_kept_elsewhere_until_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &["localhost"]);
    fs::remove_file(dir.path().join("ca.key")).unwrap();
    assert_eq!(init(dir.path(), &["localhost"]).0, Exit::Fine);
    fs::remove_file(dir.path().join("tls.crt")).unwrap();
    let before = content(dir.path());
    let command =
        Command::Init(InitArgs { dir: dir.path().to_owned(), hosts: vec!["localhost".into()], issuer: "x".into() });
    let error = run(&KeysArgs { command }, NOW, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "tls.crt is missing, and ca.key, which is needed to make it, as well: bring it back");
    assert_eq!(content(dir.path()), before);
}

#[test]
fn what_is_there_and_of_no_use_is_said() {
    let fresh = || {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &["localhost"]);
        dir
    };
    let other = content(fresh().path());
    let put = |name: &str, text: &str| {
        let dir = fresh();
        fs::write(dir.path().join(name), text).unwrap();
        init(dir.path(), &["localhost"])
    };
    for (name, text, complaint) in [
        ("tls.crt", other["tls.crt"].as_str(), "tls.crt: it is for another key than tls.key"),
        ("tls.crt", "rubbish", "tls.crt: not a certificate in PEM"),
        ("signing.key", "rubbish", "signing.key: not a private key in PEM"),
        ("registry-bundle.crt", &other["registry-ca.crt"], "registry-bundle.crt: a registry with this bundle refuses"),
        ("registry-bundle.crt", "", "registry-bundle.crt: a registry with this bundle refuses"),
        ("tickets.key", "c2hvcnQ=", "tickets.key: not 32 bytes in base64"),
    ] {
        let (exit, said) = put(name, text);
        assert_eq!(exit, Exit::Wrong, "{complaint}");
        assert!(said.contains(complaint), "{complaint}:\n{said}");
    }
    let dir = fresh();
    let (exit, said) = init(dir.path(), &["registry.example.com"]);
    assert_eq!(exit, Exit::Wrong);
    assert!(said.contains("it is for localhost, not for registry.example.com"), "{said}");
    let (exit, said) = init_at(dir.path(), &["localhost"], Timestamp(NOW.0 + 3 * 365 * 86_400));
    assert_eq!(exit, Exit::Wrong);
    assert!(said.contains("tls.crt: it has ended") && !said.contains("ca.crt: it has ended"), "{said}");
    fs::remove_file(dir.path().join("tls.key")).unwrap();
    let (exit, said) = init(dir.path(), &["localhost"]);
    assert_eq!(exit, Exit::Wrong);
    assert!(said.contains("tls.crt: its key tls.key is missing"), "{said}");
}

#[test]
fn others_certificates_may_stand_in_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &["localhost"]);
    let both = crate::token::testing::TestKey::trusted().certificate().pem() + &content(dir.path())["registry-ca.crt"];
    fs::write(dir.path().join("registry-bundle.crt"), both).unwrap();
    assert_eq!(init(dir.path(), &["localhost"]).0, Exit::Fine);
}

#[test]
fn a_host_is_a_name_or_an_address() {
    for bad in ["https://registry.example.com", "registry.example.com:443", "", "a b", "a..b", "[::1]"] {
        let dir = tempfile::tempdir().unwrap();
        let command =
            Command::Init(InitArgs { dir: dir.path().to_owned(), hosts: vec![bad.into()], issuer: "x".into() });
        assert!(run(&KeysArgs { command }, NOW, &mut Vec::new()).is_err(), "{bad}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(init(dir.path(), &["*.example.com", "::1", "host_1"]).0, Exit::Fine);
}

#[test]
fn a_ticket_key_is_32_bytes_and_never_the_same() {
    let one = || {
        let mut out = Vec::new();
        run(&KeysArgs { command: Command::Ticket }, NOW, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(STANDARD.decode(one().trim()).unwrap().len(), 32);
    assert_ne!(one(), one());
}
