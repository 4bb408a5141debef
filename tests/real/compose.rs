//! What `docker compose up` starts, started by hand: the same programs, arguments and files, as they stand in the
//! repository. Only paths, ports and the addresses of others are this machine's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tempfile::TempDir;
use tidegate::base::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;

use crate::registry::{Registry, Release, free_port};

const BLOB: &[u8] = b"a layer";

#[tokio::test]
async fn what_compose_starts_takes_a_blob_and_gives_it_back() {
    let Some(program) = Release::V3.find() else {
        assert!(std::env::var_os("CI").is_none(), "registry is missing: run tests/parts.sh");
        return;
    };
    let parts = Parts::new().await;
    let authority = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let trusted = CertificateParams::default().self_signed(&authority).unwrap().pem();
    std::fs::write(parts.root().join("certs/gitlab-registry.crt"), trusted).unwrap();

    let keys = Service::read("keys");
    assert!(parts.run(&keys).await.success(), "the first start");
    let made = parts.certs();
    assert!(parts.run(&keys).await.success(), "the second start");
    assert_eq!(parts.certs(), made, "the second start changes nothing");

    assert!(!parts.is_healthy().await, "nothing runs yet");
    let config = Service::read("registry").here("/etc/distribution/config.yml", parts.root());
    let _registry = Registry::launch(program, Path::new(&config), parts.registry, TempDir::new().unwrap()).await;
    let _gateway = parts.serve(&Service::read("tidegate")).await;
    assert!(parts.is_healthy().await);

    let door = Door::new(&parts, keys.argument("--host"));
    let (stranger, registry) = (door.ask("GET", "/v2/", None, b"").await, text("config/registry.yml"));
    assert_eq!(stranger.status, 401);
    let (realm, service) = (value(&registry, "realm"), value(&registry, "service"));
    let challenge = format!("www-authenticate: Bearer realm=\"{realm}\",service=\"{service}\"");
    assert!(stranger.head.contains(&challenge), "no {challenge} in {}", stranger.head);

    let ours: toml::Table = text("config/compose.toml").parse().unwrap();
    let word = |name: &str| ours["authorities"]["gitlab"][name].as_str().unwrap();
    let token = token(&authority, word("issuer"), word("service"));
    let opened = door.ask("POST", "/v2/group/project/blobs/uploads/", Some(&token), b"").await;
    assert_eq!(opened.status, 202, "{}", opened.head);
    let upload = opened.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let committed = door.ask("PUT", &format!("{upload}&digest={}", digest()), Some(&token), BLOB).await;
    assert_eq!(committed.status, 201, "{}", committed.head);
    let pulled = door.ask("GET", &format!("/v2/group/project/blobs/{}", digest()), Some(&token), b"").await;
    assert_eq!((pulled.status, pulled.body.as_slice()), (200, BLOB), "{}", pulled.head);
}

/// A file of the repository.
fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What stands behind the first `name:` of a line.
fn value<'a>(yaml: &'a str, name: &str) -> &'a str {
    let found = yaml.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name}")).trim()
}

fn digest() -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, BLOB);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// What GitLab would hand out.
fn token(authority: &KeyPair, issuer: &str, service: &str) -> String {
    let now = Clock::System.now().0;
    let claims = json!({
        "iss": issuer, "aud": service, "sub": "ada", "iat": now, "nbf": now - 5, "exp": now + 300, "jti": "1",
        "access": [{ "type": "repository", "name": "group/project", "actions": ["pull", "push"] }],
    });
    let key = EncodingKey::from_ec_pem(authority.serialize_pem().as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap()
}

/// A service of docker-compose.yml: what it is started with, and what it sees of the repository.
struct Service {
    command: Vec<String>,
    /// Outside, and inside of the container.
    volumes: Vec<(String, String)>,
}

impl Service {
    fn read(name: &str) -> Self {
        let file = text("docker-compose.yml");
        let (_, services) = file.split_once("\nservices:\n").unwrap();
        let lines = services.lines().skip_while(|line| *line != format!("  {name}:")).skip(1);
        let lines: Vec<_> = lines.take_while(|line| line.is_empty() || line.starts_with("    ")).collect();
        assert!(!lines.is_empty(), "no service {name}");
        let command = lines.iter().find_map(|line| line.trim().strip_prefix("command: [")?.strip_suffix(']'));
        let command = command.map(|list| list.split(", ").map(str::to_owned).collect()).unwrap_or_default();
        let volumes = lines.iter().skip_while(|line| line.trim() != "volumes:").skip(1);
        let volumes = volumes.map_while(|line| line.strip_prefix("      - ")?.trim_end_matches(":ro").split_once(':'));
        Self { command, volumes: volumes.map(|(outside, inside)| (outside.to_owned(), inside.to_owned())).collect() }
    }

    /// `text` with the paths inside of the container replaced by those below `root`.
    fn here(&self, text: &str, root: &Path) -> String {
        self.volumes.iter().fold(text.to_owned(), |text, (outside, inside)| {
            text.replace(inside, root.join(outside.trim_start_matches("./")).to_str().unwrap())
        })
    }

    fn argument(&self, name: &str) -> &str {
        let at = self.command.iter().position(|argument| argument == name).unwrap();
        &self.command[at + 1]
    }
}

/// A directory laid out as the repository is, with this machine's ports in its files.
struct Parts {
    directory: TempDir,
    public: u16,
    admin: u16,
    registry: u16,
}

impl Parts {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let parts =
            Self { directory, public: free_port().await, admin: free_port().await, registry: free_port().await };
        for name in ["config", "certs"] {
            std::fs::create_dir(parts.root().join(name)).unwrap();
        }
        let substitute = |text: String, from: &str, to: String| {
            assert!(text.contains(from), "{from} is gone");
            text.replace(from, &to)
        };
        let config = text("config/compose.toml");
        let config = substitute(config, "0.0.0.0:8443", format!("127.0.0.1:{}", parts.public));
        let config = substitute(config, "127.0.0.1:9090", format!("127.0.0.1:{}", parts.admin));
        let config = substitute(config, "http://registry:5000", format!("http://127.0.0.1:{}", parts.registry));
        let config = substitute(config, "https://gitlab.example.com", "http://127.0.0.1:9".to_owned());
        std::fs::write(parts.root().join("config/compose.toml"), config).unwrap();
        let config =
            substitute(text("config/registry.yml"), "addr: :5000", format!("addr: 127.0.0.1:{}", parts.registry));
        let config = Service::read("registry").here(&config, parts.root());
        std::fs::write(parts.root().join("config/registry.yml"), config).unwrap();
        parts
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The names, contents and ages of all files in certs/.
    fn certs(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let entries = std::fs::read_dir(self.root().join("certs")).unwrap().map(|entry| entry.unwrap().path());
        let age = |path: &Path| path.metadata().unwrap().modified().unwrap();
        entries.map(|path| (path.clone(), (std::fs::read(&path).unwrap(), age(&path)))).collect()
    }

    fn command(&self, service: &Service) -> Command {
        assert!(text("deploy/Dockerfile").contains("\nENTRYPOINT [\"/usr/bin/tidegate\"]\n"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(service.command.iter().map(|argument| service.here(argument, self.root())));
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, service: &Service) -> ExitStatus {
        self.command(service).status().await.unwrap()
    }

    async fn serve(&self, service: &Service) -> Child {
        let mut process = self.command(service).stderr(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", self.public)).await.is_err() {
            assert!(process.try_wait().unwrap().is_none(), "the gateway ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process
    }

    /// What the image's health check says.
    async fn is_healthy(&self) -> bool {
        let file = text("deploy/Dockerfile");
        let (_, check) = file.split_once("\nHEALTHCHECK ").unwrap();
        let (_, check) = check.split_once("\n  CMD ").unwrap();
        let check: Vec<String> = serde_json::from_str(check.lines().next().unwrap()).unwrap();
        let check = check.iter().map(|part| part.replace("/9090", &format!("/{}", self.admin)));
        let status = Command::new("/usr/bin/env").args(check).stderr(Stdio::null()).status();
        status.await.unwrap().success()
    }
}

/// A client that trusts certs/ca.crt and knows the gateway by the name its certificate was made for.
struct Door {
    connector: TlsConnector,
    host: String,
    port: u16,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Door {
    fn new(parts: &Parts, host: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(parts.root().join("certs/ca.crt")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        Self { connector: Arc::new(config).into(), host: host.to_owned(), port: parts.public }
    }

    async fn ask(&self, method: &str, target: &str, token: Option<&str>, body: &[u8]) -> Answer {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let mut stream = self.connector.connect(name, stream).await.unwrap();
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}:8443\r\n{authorization}Content-Length: {}\r\n\
             Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let body = answer.split_off(end);
        let head = String::from_utf8(answer).unwrap();
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
    }
}
