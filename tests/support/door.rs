//! Tidegate itself, as an operator runs it: the binary with a configuration file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::authority::Voice;
use super::keys::Keys;
use super::process::{Daemon, command_in};

/// How Tidegate comes by the token it shows the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Renew {
    Resign,
    Exchange,
}

impl Renew {
    pub(crate) const ALL: [Self; 2] = [Self::Resign, Self::Exchange];

    /// As the configuration spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resign => "resign",
            Self::Exchange => "exchange",
        }
    }
}

/// What one Tidegate is told.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) tls: bool,
    /// Whose `X-Forwarded-*` it believes.
    pub(crate) trusted_proxy: Ipv4Addr,
    pub(crate) authority: SocketAddr,
    pub(crate) origin: SocketAddr,
    /// The token endpoint as clients reach it.
    pub(crate) realm: String,
    pub(crate) renew: Renew,
}

/// A running Tidegate; ends when dropped.
#[derive(Debug)]
pub(crate) struct Door {
    daemon: Daemon,
    admin: SocketAddr,
}

impl Door {
    /// Starts `program` in a namespace, with its files under `dir`, and waits until it calls itself ready.
    pub(crate) async fn start(
        program: &Path,
        dir: &Path,
        namespace: Option<&str>,
        orders: &Orders,
        voice: &Voice,
        keys: &Keys,
    ) -> Result<Self> {
        let command = command_in(namespace, program);
        Self::open(command, dir, &configuration(orders, voice, keys), orders.admin).await
    }

    /// Starts it by `command`, to which the verb and the file are added, with a configuration of one's own.
    pub(crate) async fn open(mut command: Command, dir: &Path, config: &str, admin: SocketAddr) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let file = dir.join("tidegate.toml");
        std::fs::write(&file, config)?;
        command.arg("serve").arg("--config").arg(&file);
        let mut daemon = Daemon::spawn("tidegate", &mut command, &dir.join("tidegate.log"))?;
        daemon.wait_ready(Duration::from_secs(20), async |_| fetch(admin, "/readyz").await.is_ok()).await?;
        Ok(Self { daemon, admin })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.daemon.pid()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        self.daemon.signal(signal);
    }

    /// Waits for it to end by itself, or by a signal that was sent: its exit code.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> Result<Option<i32>> {
        self.daemon.ended(deadline).await
    }

    /// What its admin listener says to a GET that it answers 200.
    pub(crate) async fn ask(&self, path: &str) -> Result<String> {
        fetch(self.admin, path).await
    }

    /// Its metrics, as a scraper sees them.
    pub(crate) async fn metrics(&self) -> Result<String> {
        fetch(self.admin, "/metrics").await
    }

    /// All it has logged.
    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// Lets it end as a service manager would.
    pub(crate) async fn stop(self) -> Result<()> {
        self.daemon.stop().await
    }
}

/// The sum of a counter over all its labels.
pub(crate) fn counter(metrics: &str, name: &str) -> u64 {
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
        .map(|value| format!("{value:.0}").parse::<u64>().unwrap_or_default())
        .sum()
}

/// A GET that has to be answered 200.
async fn fetch(address: SocketAddr, path: &str) -> Result<String> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        ensure!(status.is_success(), "GET {path}: {status}");
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    timeout(Duration::from_secs(5), exchange).await.context("no answer within 5 s")?
}

/// Everything is logged at the finest level, since the log is searched for secrets afterwards.
pub(crate) fn configuration(orders: &Orders, voice: &Voice, keys: &Keys) -> String {
    let path = |path: &PathBuf| path.display().to_string();
    let tls = if orders.tls {
        format!("tls = {{ certificate = \"{}\", key = \"{}\" }}\n", path(&keys.tls_certificate), path(&keys.tls_key))
    } else {
        String::new()
    };
    let signing = match orders.renew {
        Renew::Resign => format!(
            "[signing]\nkey = \"{}\"\ncertificate = \"{}\"\n",
            path(&keys.signing_key),
            path(&keys.signing_leaf)
        ),
        Renew::Exchange => String::new(),
    };
    format!(
        "[listeners.public]
address = \"{public}\"
{tls}trusted_proxies = [\"{proxy}/32\"]

[listeners.admin]
address = \"{admin}\"

[authorities.gitlab]
kind = \"gitlab\"
url = \"http://{authority}\"
issuer = \"{issuer}\"
service = \"{service}\"
trusted = [\"{trusted}\"]

[sites.\"*\"]
authority = \"gitlab\"
realm = \"{realm}\"
renew = \"{renew}\"
[sites.\"*\".registry]
origins = [\"http://{origin}\"]

{signing}
[log]
format = \"json\"
level = \"trace\"
",
        public = orders.public,
        proxy = orders.trusted_proxy,
        admin = orders.admin,
        authority = orders.authority,
        issuer = voice.issuer,
        service = voice.service,
        trusted = path(&keys.authority_certificate),
        realm = orders.realm,
        renew = orders.renew.name(),
        origin = orders.origin,
    )
}
