//! A transfer takes the same memory whatever its size: the gateway in front of a real registry, and a large blob both
//! ways through it.

use std::path::Path;
use std::process::Stdio;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tidegate::base::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::registry::{ISSUER, Registry, Release, SERVICE, free_port};

const BLOB: usize = 256 << 20;
/// Windows, buffers and what an allocator keeps, many times over; a tenth of the blob all the same.
const MOST: u64 = 24 << 20;

#[tokio::test]
async fn memory_stays_flat_while_a_large_blob_goes_both_ways() {
    let Some(program) = Release::V3.find() else {
        assert!(std::env::var_os("CI").is_none(), "registry is missing: run tests/parts.sh");
        return;
    };
    let directory = TempDir::new().unwrap();
    let (token, bundle) = material(directory.path());
    let registry = Registry::start(program, &bundle).await;
    let gateway = Gateway::start(directory.path(), registry.port).await;
    let before = gateway.peak();

    let upload = gateway.send("POST", "/v2/group/project/blobs/uploads/", &token, 0).await;
    let patched = gateway.send("PATCH", &upload.location, &token, BLOB).await;
    assert_eq!(patched.status, 202, "{}", patched.head);
    let commit = format!("{}&digest={}", patched.location, zeros());
    let committed = gateway.send("PUT", &commit, &token, 0).await;
    assert_eq!(committed.status, 201, "{}", committed.head);
    let pulled = gateway.send("GET", &format!("/v2/group/project/blobs/{}", zeros()), &token, 0).await;
    assert_eq!((pulled.status, pulled.body), (200, BLOB));

    let grown = gateway.peak() - before;
    assert!(grown < MOST, "{grown} bytes more than before the transfers");
}

/// The digest of a blob of zeros.
fn zeros() -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    (0..BLOB >> 16).for_each(|_| context.update(&[0; 1 << 16]));
    let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A client token, and the certificates of those whom the registry trusts. The gateway signs with a key of its own.
fn material(directory: &Path) -> (String, String) {
    let pair = || {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        (key.serialize_pem(), certificate)
    };
    let ((authority, trusted), (signing, certificate)) = (pair(), pair());
    std::fs::write(directory.join("trusted.crt"), &trusted).unwrap();
    std::fs::write(directory.join("signing.crt"), &certificate).unwrap();
    write_private(&directory.join("signing.key"), &signing);
    let now = Clock::System.now().0;
    let claims = json!({
        "iss": ISSUER, "aud": SERVICE, "sub": "ada", "iat": now, "exp": now + 3600, "jti": "1",
        "access": [{ "type": "repository", "name": "group/project", "actions": ["pull", "push"] }],
    });
    let key = EncodingKey::from_ec_pem(authority.as_bytes()).unwrap();
    (jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap(), trusted + &certificate)
}

fn write_private(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

struct Gateway {
    process: Child,
    port: u16,
}

struct Answer {
    status: u16,
    location: String,
    head: String,
    body: usize,
}

impl Gateway {
    async fn start(directory: &Path, registry: u16) -> Self {
        let port = free_port().await;
        let config = directory.join("tidegate.toml");
        let text = format!(
            "[listeners.public]\naddress = '127.0.0.1:{port}'\n\
             [authorities.gitlab]\nkind = 'gitlab'\nurl = 'http://127.0.0.1:9'\nissuer = '{ISSUER}'\n\
             service = '{SERVICE}'\ntrusted = ['trusted.crt']\n\
             [sites.'*']\nauthority = 'gitlab'\nrealm = 'http://127.0.0.1:{port}/jwt/auth'\n\
             [sites.'*'.registry]\norigins = ['http://127.0.0.1:{registry}']\n\
             [signing]\nkey = 'signing.key'\ncertificate = 'signing.crt'\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        process.arg("serve").arg("--config").arg(config).stdin(Stdio::null()).stderr(Stdio::null());
        let mut process = process.kill_on_drop(true).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(process.try_wait().unwrap().is_none(), "the gateway ended");
            tokio::task::yield_now().await;
        }
        Self { process, port }
    }

    /// The most memory it ever had resident, in bytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// One request with `body` zeros.
    async fn send(&self, method: &str, target: &str, token: &str, body: usize) -> Answer {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: registry\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {body}\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
        );
        let writer = tokio::spawn(async move {
            writing.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..body >> 16 {
                writing.write_all(&[0; 1 << 16]).await.unwrap();
            }
            writing
        });
        let (mut head, mut buffer, mut total) = (Vec::new(), vec![0; 1 << 16], 0);
        loop {
            let read = reading.read(&mut buffer).await.unwrap();
            if read == 0 {
                break;
            }
            total += read;
            if head.len() < 16 << 10 {
                head.extend_from_slice(&buffer[..read]);
            }
        }
        drop(writer.await.unwrap());
        let end = head.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default().to_owned();
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), location, head, body: total - end }
    }
}
