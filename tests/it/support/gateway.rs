//! The gateway: a configuration file, the keys it names, and everything that `tidegate serve` puts together from
//! them, but for the signals and the clock.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tidegate::app::Shared;
use tidegate::base::clock::Clock;
use tidegate::config;
use tidegate::server::drain::{Drain, Report};
use tidegate::server::listener::Server as Listener;
use tidegate::telemetry::metrics::Metrics;
use tokio::sync::oneshot;

use super::client::{Answer, Ask, Connection, Door};
use super::raw::Raw;
use super::tokens::{ISSUER, Key, SERVICE, Server};
use super::{log, soon};

/// How long a gateway that is dropped is waited for.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a test's configuration is made of; each text is lines of TOML in the section it is named after.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) door: Door,
    pub(crate) renew: &'static str,
    /// The realm; none: left out.
    pub(crate) realm: Option<&'static str>,
    pub(crate) listener: String,
    pub(crate) site: String,
    pub(crate) registry: String,
    pub(crate) push: String,
    pub(crate) tokens: String,
    pub(crate) timeouts: String,
    pub(crate) limits: String,
    pub(crate) drain: String,
    /// Further sections.
    pub(crate) more: String,
    pub(crate) ticket_keys: Vec<[u8; 32]>,
    /// Origins of the registry beside the usual one.
    pub(crate) origins: Vec<SocketAddr>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            door: Door::Plain,
            renew: "resign",
            realm: Some("https://registry.test/jwt/auth"),
            listener: String::new(),
            site: String::new(),
            registry: String::new(),
            push: String::new(),
            tokens: String::new(),
            timeouts: String::new(),
            limits: String::new(),
            drain: String::new(),
            more: String::new(),
            ticket_keys: vec![[7; 32]],
            origins: Vec::new(),
        }
    }
}

/// A running gateway; ends when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    door: Door,
    drain: Drain,
    leave: Option<oneshot::Sender<()>>,
    left: Option<oneshot::Receiver<Report>>,
    /// Closed when all of it has ended.
    ended: mpsc::Receiver<()>,
    _files: TempDir,
}

impl Gateway {
    pub(crate) async fn start(setup: &Setup, clock: &Clock, authority: SocketAddr, registry: SocketAddr) -> Self {
        log::start();
        let files = tempfile::tempdir().unwrap();
        let file = write(files.path(), setup, authority, registry);
        let settings = match config::load(&file, clock.now()) {
            Ok(settings) => settings,
            Err(error) => panic!("{error}"),
        };
        let metrics = Arc::new(Metrics::new());
        let drain = Drain::new(settings.server.drain_delay, settings.server.drain_timeout);
        let (leave, leaving) = oneshot::channel();
        let (leaves, left) = oneshot::channel();
        let (started, address) = oneshot::channel();
        let parts = (settings, clock.clone(), Arc::clone(&metrics), drain.clone());
        let (ends, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let _until_the_end: mpsc::Sender<()> = ends;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(parts, started, leaving, leaves));
        });
        let address = soon(address).await.unwrap();
        let (leave, left) = (Some(leave), Some(left));
        Self { address, metrics, door: setup.door, drain, leave, left, ended, _files: files }
    }

    /// A connection of a client.
    pub(crate) async fn connect(&self) -> Connection {
        soon(Connection::open(self.address, self.door)).await
    }

    /// A connection in bytes.
    pub(crate) async fn raw(&self) -> Raw {
        soon(Raw::open(self.address, self.door)).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        self.connect().await.send(ask).await
    }

    /// Tells it to leave, as SIGTERM does.
    pub(crate) fn leave(&mut self) {
        drop(self.leave.take());
    }

    /// As a second SIGTERM does.
    pub(crate) fn hurry(&self) {
        self.drain.hurry();
    }

    /// Whether it takes no new upload any more.
    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// What it says when it has left.
    pub(crate) async fn report(&mut self) -> Report {
        soon(self.left.take().unwrap()).await.unwrap()
    }

    /// The value of a metric's line, 0 when there is none.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.leave();
        self.drain.hurry();
        if !std::thread::panicking() {
            // What it says last is looked at as well; it says nothing to wait for.
            let _ended = self.ended.recv_timeout(LAST_WORDS);
            log::assert_nothing_secret();
            let numbers = log::secrets_in(&self.metrics.encode()).concat();
            assert!(numbers.is_empty(), "a secret is in the metrics: {numbers}");
        }
    }
}

type Parts = (config::Settings, Clock, Arc<Metrics>, Drain);

/// `tidegate serve`, with another clock and other signals.
async fn run(
    (settings, clock, metrics, drain): Parts,
    started: oneshot::Sender<SocketAddr>,
    leaving: oneshot::Receiver<()>,
    left: oneshot::Sender<Report>,
) {
    let listener = Listener::bind(settings.server.clone(), Arc::clone(&metrics)).unwrap().with_workers(2);
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Handle::current();
    let shared = Shared::new(settings, clock, &metrics, drain.unwilling(), &runtime).unwrap();
    let serving = listener.serve(move |_| shared.dispatch(), &drain).unwrap();
    // Whoever waited may have given up meanwhile.
    let _gone = started.send(address);
    // An error is the sender's being dropped, which is how it is told to leave.
    let _told = leaving.await;
    let _gone = left.send(serving.leave().await);
}

fn write(dir: &Path, setup: &Setup, authority: SocketAddr, registry: SocketAddr) -> std::path::PathBuf {
    let server = Server::shared();
    secret(dir, "tls.key", &server.key);
    secret(dir, "signing.key", &Key::signing().pair.serialize_pem());
    let public = [
        ("tls.crt", &server.certificate),
        ("signing.crt", &Key::signing().certificate),
        ("authority.crt", &Key::authority().certificate),
    ];
    for (name, text) in public {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let keys: Vec<String> = (0..setup.ticket_keys.len()).map(|number| format!("tickets-{number}.key")).collect();
    for (name, key) in keys.iter().zip(&setup.ticket_keys) {
        secret(dir, name, &STANDARD.encode(key));
    }
    let file = dir.join("tidegate.toml");
    std::fs::write(&file, toml(setup, &keys, authority, registry)).unwrap();
    file
}

fn toml(setup: &Setup, ticket_keys: &[String], authority: SocketAddr, registry: SocketAddr) -> String {
    let Setup { listener, site, push, tokens, timeouts, limits, drain, more, renew, .. } = setup;
    let tls = match setup.door {
        Door::Plain => "",
        Door::Tls1 | Door::Tls2 => "tls = { certificate = \"tls.crt\", key = \"tls.key\" }",
    };
    let realm = setup.realm.map(|realm| format!("realm = \"{realm}\"")).unwrap_or_default();
    let origins: Vec<String> =
        std::iter::once(&registry).chain(&setup.origins).map(|address| format!("http://{address}")).collect();
    let registry = &setup.registry;
    format!(
        r#"
[listeners.public]
address = "127.0.0.1:0"
{tls}
{listener}
[authorities.gitlab]
kind = "gitlab"
url = "http://{authority}"
issuer = "{ISSUER}"
service = "{SERVICE}"
trusted = ["authority.crt"]
[sites."registry.test"]
authority = "gitlab"
renew = "{renew}"
{realm}
{site}
[sites."registry.test".registry]
origins = {origins:?}
{registry}
[signing]
key = "signing.key"
certificate = "signing.crt"
[tickets]
keys = {ticket_keys:?}
[push]
{push}
[tokens]
{tokens}
[timeouts]
{timeouts}
[limits]
{limits}
[drain]
{drain}
{more}
"#
    )
}

/// A file that only its owner may read.
fn secret(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
