//! A registry with token authentication, started for one test.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

pub(crate) const ISSUER: &str = "gitlab-issuer";
pub(crate) const SERVICE: &str = "container_registry";

/// The two that stock installations run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// distribution 2.8, Debian's `docker-registry`
    V2,
    /// distribution 3.1, `registry`
    V3,
}

#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) port: u16,
    _process: Child,
    _directory: TempDir,
}

impl Release {
    /// Where it is; `tests/parts.sh` puts what Debian lacks into the cache directory.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let name = if self == Self::V2 { "docker-registry" } else { "registry" };
        let cache = std::env::var_os("TIDEGATE_PARTS")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/tidegate/parts")));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<_> = cache.into_iter().map(|cache| cache.join("bin")).collect();
        places.extend(std::env::split_paths(&path));
        places.into_iter().map(|place| place.join(name)).find(|program| program.is_file())
    }
}

/// A port that nobody listens on.
pub(crate) async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

impl Registry {
    /// Starts one that trusts `bundle` (PEM certificates).
    pub(crate) async fn start(program: PathBuf, bundle: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let port = free_port().await;
        let config = directory.path().join("config.yml");
        std::fs::write(directory.path().join("bundle.crt"), bundle).unwrap();
        let settings = format!(
            "version: 0.1\nlog: {{ level: debug }}\nhttp: {{ addr: '127.0.0.1:{port}' }}\n\
             storage: {{ filesystem: {{ rootdirectory: '{0}/data' }} }}\n\
             auth: {{ token: {{ realm: 'http://127.0.0.1/token', service: {SERVICE}, issuer: {ISSUER}, \
             rootcertbundle: '{0}/bundle.crt' }} }}\n",
            directory.path().display()
        );
        std::fs::write(&config, settings).unwrap();
        Self::launch(program, &config, port, directory).await
    }

    /// Starts one with this configuration, which lets it listen on `port`; its log goes into `directory`.
    pub(crate) async fn launch(program: PathBuf, config: &Path, port: u16, directory: TempDir) -> Self {
        let log = directory.path().join("log");
        let output = std::fs::File::create(&log).unwrap();
        let process = Command::new(program)
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let registry = Self { port, _process: process, _directory: directory };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the registry is not ready:\n{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// The status of one request with this token.
    pub(crate) async fn status(&self, method: &str, path: &str, token: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let token = std::str::from_utf8(token).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: registry\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let line = String::from_utf8_lossy(&answer);
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    }
}
