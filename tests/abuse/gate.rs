//! Tidegate itself, as a process, and what can be seen of it from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Rank;

/// What one Tidegate is told.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) origin: SocketAddr,
    /// That of the quiet client's site.
    pub(crate) quiet: SocketAddr,
    /// Every wait that the configuration knows.
    pub(crate) wait: Duration,
    /// A line of `[limits]`.
    pub(crate) setting: &'static str,
    /// `ulimit -n`, or what the system allows where that is less.
    pub(crate) descriptors: Option<u32>,
}

/// A running Tidegate; killed when dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    child: Child,
    pid: u32,
    log: PathBuf,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Gate {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(program: &Path, dir: &Path, orders: &Orders) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (public, admin) = free_ports()?;
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(dir.join("tls.crt"), certified.cert.pem())?;
        secret(&dir.join("tls.key"), &certified.signing_key.serialize_pem())?;
        let config = dir.join("tidegate.toml");
        std::fs::write(&config, configuration(public, admin, orders))?;
        let log = dir.join("tidegate.log");
        let out = std::fs::File::create(&log)?;
        let all = "ulimit -n $(ulimit -Hn)";
        let limit = orders.descriptors.map_or_else(|| all.to_owned(), |n| format!("ulimit -n {n} 2>&- || {all}"));
        let rank = Rank::Middle.arguments().join(" ");
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}; exec chrt {rank} \"$0\" \"$@\"")])
            .arg(program)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it ended at once")?;
        let end = Instant::now() + Duration::from_secs(20);
        while get(admin, "/healthz").await.is_err() {
            if child.try_wait()?.is_some() || Instant::now() > end {
                bail!("tidegate did not start:\n{}", std::fs::read_to_string(&log)?);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { child, pid, log, public, admin })
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("kill")
    }

    /// The end of its log, for when something is wrong.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("tidegate::access")).collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }

    pub(crate) async fn metrics(&self) -> Result<String> {
        get(self.admin, "/metrics").await
    }

    /// Whether the admin listener answers.
    pub(crate) async fn is_healthy(&self) -> bool {
        get(self.admin, "/healthz").await.is_ok()
    }

    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }

    /// How many descriptors it may have.
    pub(crate) fn most_descriptors(&self) -> Result<u64> {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.pid))?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("Max open files")?;
        Ok(line.split_whitespace().next().context("Max open files")?.parse()?)
    }

    /// Resident KiB.
    pub(crate) fn resident(&self) -> Result<i64> {
        self.status("VmRSS:")
    }

    /// The most KiB that were resident since [`Self::forget_peak`]. The kernel keeps it: nothing that comes and goes between
    /// two looks is missed.
    pub(crate) fn peak(&self) -> Result<i64> {
        self.status("VmHWM:")
    }

    /// See proc_pid_clear_refs(5).
    pub(crate) fn forget_peak(&self) -> Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5").context("clear_refs")
    }

    fn status(&self, name: &str) -> Result<i64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Seconds of CPU it has used.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let after = stat.rsplit_once(") ").context("stat")?.1;
        let fields: Vec<&str> = after.split(' ').collect();
        let ticks: f64 = fields.get(11..13).context("stat")?.iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(ticks / 100.0)
    }
}

/// The value of a metric's line, zero if it is not there.
pub(crate) fn value(metrics: &str, line: &str) -> i64 {
    let found = metrics.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found
        .and_then(|value| value.trim().parse::<f64>().ok())
        .map_or(0, |value| format!("{value:.0}").parse().unwrap_or(0))
}

/// Every limit that has counted, and how often.
pub(crate) fn limits(metrics: &str) -> Vec<(String, i64)> {
    let limit = |line: &str| {
        let (name, value) = line.strip_prefix("tidegate_limit_hits_total{limit=\"")?.split_once("\"} ")?;
        Some((name.to_owned(), value.trim().parse::<f64>().ok().map(|v| format!("{v:.0}").parse().unwrap_or(0))?))
    };
    metrics.lines().filter_map(limit).collect()
}

async fn get(address: SocketAddr, path: &str) -> Result<String> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let (head, body) = text.split_once("\r\n\r\n").context("cut short")?;
        anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Ok(body.to_owned())
    };
    timeout(Duration::from_secs(5), asking).await.context("no answer")?
}

/// Two ports nobody has at the moment, held both before either is let go.
fn free_ports() -> Result<(SocketAddr, SocketAddr)> {
    let (one, other) = (std::net::TcpListener::bind("127.0.0.1:0")?, std::net::TcpListener::bind("127.0.0.1:0")?);
    Ok((one.local_addr()?, other.local_addr()?))
}

fn secret(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn configuration(public: SocketAddr, admin: SocketAddr, orders: &Orders) -> String {
    let Orders { origin, quiet, setting, .. } = orders;
    let wait = format!("{}ms", orders.wait.as_millis());
    format!(
        "[listeners.public]
address = \"{public}\"
tls = {{ certificate = \"tls.crt\", key = \"tls.key\" }}
[listeners.admin]
address = \"{admin}\"
[authorities.gitlab]
kind = \"gitlab\"
url = \"http://{origin}\"
issuer = \"issuer\"
service = \"container_registry\"
trusted = [\"tls.crt\"]
[sites.\"*\"]
authority = \"gitlab\"
proxy = \"http://{origin}\"
[sites.\"*\".registry]
origins = [\"http://{origin}\"]
[sites.\"quiet.example\"]
authority = \"gitlab\"
proxy = \"http://{quiet}\"
[sites.\"quiet.example\".registry]
origins = [\"http://{quiet}\"]
[limits]
{setting}
[timeouts]
handshake = \"{wait}\"
request_head = \"{wait}\"
idle = \"{wait}\"
keep_alive = \"{wait}\"
[log]
level = \"info\"
"
    )
}
