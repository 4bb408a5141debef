//! One combination from the first daemon to the last proof.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, timeout};

use crate::cells::{Combination, Hop, Recipe};
use crate::proof::Proof;
use crate::support::authority::{Authority, Life, Login, Received, Voice};
use crate::support::canaries::Canaries;
use crate::support::clients::{Bench, Client, Target};
use crate::support::door::{Door, Orders, counter};
use crate::support::keys::Keys;
use crate::support::registry::{Registry, Trust};
use crate::support::relay::{Ear, Relay};
use crate::support::spool::Spool;
use crate::support::yard::Yard;

/// `ctr` of containerd 1.6 now and then waits for itself for ever after a request with a small body (its manifest) was
/// answered 401, with Tidegate and without: it wrote into a pipe that the retry has replaced (containerd pull request 6995).
/// Every other client has one try.
const CTR_TRIES: u8 = 3;

/// What all combinations share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
    pub(crate) tidegate: PathBuf,
    pub(crate) yard: Yard,
    pub(crate) keys: Keys,
    pub(crate) bench: Bench,
    pub(crate) recipe: Recipe,
    pub(crate) clients: Vec<Client>,
}

/// What became of one client's push.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) client: Client,
    pub(crate) passed: bool,
    /// The last try.
    pub(crate) took: Duration,
    /// More than one only where `ctr` hung.
    pub(crate) tries: u8,
    /// The client's last words when it failed, or why what came back differs.
    pub(crate) client_words: String,
    /// What the registry logged about it when it failed.
    pub(crate) registry_words: String,
}

/// What became of a combination.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) combination: Combination,
    pub(crate) cells: Vec<Cell>,
    /// Only where Tidegate stood.
    pub(crate) proof: Option<Proof>,
}

/// The parts of a combination, running.
struct Parts {
    authority: Rc<Authority>,
    registry: Registry,
    spool: Option<Spool>,
    door: Option<Door>,
    relay: Relay,
    canaries: Canaries,
}

impl Stage {
    /// Runs `combination`; `number` keeps its ports apart from those of the others.
    pub(crate) async fn run(self: Rc<Self>, combination: Combination, number: u16) -> Result<Outcome> {
        let dir = self.dir.join(combination.name());
        std::fs::create_dir_all(&dir)?;
        let mut parts = self.set_up(combination, number, &dir).await?;
        let mut pushes = JoinSet::new();
        for &client in &self.clients {
            let target = self.target(combination, &mut parts, client, &dir);
            let (stage, authority) = (Rc::clone(&self), Rc::clone(&parts.authority));
            pushes.spawn_local(async move { stage.push(client, &target, &authority).await });
        }
        let mut cells = Vec::new();
        while let Some(cell) = pushes.join_next().await {
            cells.push(cell??);
        }
        cells.sort_by_key(|cell| cell.client);
        let log = parts.registry.log();
        for cell in cells.iter_mut().filter(|cell| !cell.passed) {
            cell.registry_words = crate::words::of_registry(&log, &repository(cell.client));
        }
        let proof = self.prove(combination, number, parts).await?;
        Ok(Outcome { combination, cells, proof })
    }

    async fn set_up(&self, combination: Combination, number: u16, dir: &Path) -> Result<Parts> {
        let voice = Voice {
            issuer: "gitlab-issuer".to_owned(),
            service: "container_registry".to_owned(),
            kid: self.keys.authority_kid.clone(),
        };
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let authority = Authority::start(anywhere, voice.clone(), &self.keys.authority_key, self.recipe.life).await?;
        let authority = Rc::new(authority);
        let ear = Ear::open().await?;
        let scheme = if combination.tls { "https" } else { "http" };
        // Where clients ask for tokens: at Tidegate, which they reach through the relay, or at the authority itself. That one
        // goes by a name, since crane refuses a realm whose host is a loopback address other than the registry's own.
        let asked = match combination.renew {
            Some(_) => ear.address().to_string(),
            None => format!("localhost:{}", authority.address().port()),
        };
        let trust = Trust {
            realm: format!("{scheme}://{asked}/jwt/auth"),
            issuer: voice.issuer.clone(),
            service: voice.service.clone(),
            bundle: self.bundle(combination, dir)?,
            jwks: Some(self.keys.authority_jwks.clone()).filter(|_| !self.resigns(combination)),
        };
        let street = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let yard = SocketAddr::from((self.yard.yard_address(), 5000 + number));

        let Some(renew) = combination.renew else {
            let (listen, front) = (street(free_port()?), street(free_port()?));
            let registry = Registry::start(combination.flavor, &dir.join("registry"), None, listen, &trust).await?;
            let spool = match combination.hop {
                Hop::Straight => None,
                Hop::Front | Hop::Behind => Some(Spool::start(&dir.join("nginx"), None, front, listen).await?),
            };
            let relay = ear.lead_to(if spool.is_some() { front } else { listen }, self.recipe.rate);
            return Ok(Parts { authority, registry, spool, door: None, relay, canaries: Canaries::default() });
        };

        let inside = match combination.hop {
            Hop::Behind => SocketAddr::from((Ipv4Addr::LOCALHOST, 5000 + number)),
            Hop::Straight | Hop::Front => yard,
        };
        let namespace = Some(self.yard.yard());
        let registry = Registry::start(combination.flavor, &dir.join("registry"), namespace, inside, &trust).await?;
        let public = SocketAddr::from((self.yard.gate_address(), 8000 + number));
        let orders = Orders {
            public,
            admin: SocketAddr::from((self.yard.gate_address(), 9000 + number)),
            tls: combination.tls,
            trusted_proxy: self.yard.street_address(),
            authority: SocketAddr::from((self.yard.street_address(), authority.address().port())),
            origin: yard,
            realm: trust.realm,
            renew,
        };
        let (spool, first) = match combination.hop {
            Hop::Straight => (None, public),
            Hop::Front => {
                let front = street(free_port()?);
                (Some(Spool::start(&dir.join("nginx"), None, front, public).await?), front)
            }
            Hop::Behind => (Some(Spool::start(&dir.join("nginx"), namespace, yard, inside).await?), public),
        };
        let gatehouse = Some(self.yard.gatehouse());
        let door = Door::start(&self.tidegate, &dir.join("door"), gatehouse, &orders, &voice, &self.keys).await?;
        let relay = ear.lead_to(first, self.recipe.rate);
        Ok(Parts { authority, registry, spool, door: Some(door), relay, canaries: Canaries::default() })
    }

    fn resigns(&self, combination: Combination) -> bool {
        combination.renew == Some(crate::support::door::Renew::Resign)
    }

    /// Where Tidegate signs, the registry trusts Tidegate alone: then a token of the authority that slips through is
    /// refused, and that distribution 3.x takes what came from GitLab's kind of token is shown and not assumed.
    fn bundle(&self, combination: Combination, dir: &Path) -> Result<PathBuf> {
        let source = if self.resigns(combination) { &self.keys.signing_ca } else { &self.keys.authority_certificate };
        let bundle = dir.join("bundle.crt");
        std::fs::copy(source, &bundle).with_context(|| source.display().to_string())?;
        Ok(bundle)
    }

    /// A login of the client's own, planted as a secret that must turn up nowhere.
    fn target(&self, combination: Combination, parts: &mut Parts, client: Client, dir: &Path) -> Target {
        let user = format!("{}-user", client.name());
        let password = parts.canaries.plant(&user);
        let id = 100 + u64::from(client as u8);
        parts.authority.admit(Login::user(id, &user, &password, "matrix"));
        Target {
            address: parts.relay.address(),
            ca: combination.tls.then(|| self.keys.tls_ca.clone()),
            repository: repository(client),
            tag: "v1".to_owned(),
            user,
            password,
            dir: dir.join(client.name()),
            deadline: if client == Client::Ctr { self.recipe.ctr_deadline() } else { self.recipe.deadline },
        }
    }

    async fn push(&self, client: Client, target: &Target, authority: &Authority) -> Result<Cell> {
        self.bench.prepare(client, target).await.with_context(|| format!("{} was not prepared", client.name()))?;
        let mut target = target.clone();
        let mut tries = 1;
        let (attempt, took) = loop {
            let start = Instant::now();
            let attempt = self.bench.push(client, &target).await?;
            std::fs::write(target.dir.join(format!("push-{tries}.log")), &attempt.words)?;
            if !(attempt.hung && client == Client::Ctr && tries < CTR_TRIES) {
                break (attempt, start.elapsed());
            }
            // Into a repository where its first try left nothing that would shorten the second.
            tries += 1;
            target.repository = format!("{}-{tries}", repository(client));
        };
        let words = crate::words::of_client(&attempt.words);
        let mut cell =
            Cell { client, passed: attempt.ok, took, tries, client_words: words, registry_words: String::new() };
        if attempt.ok {
            // The push has shown what was to be shown; on a busy machine a pull may take longer than the tokens lived so far.
            authority.set_life_of(&target.user, Life::Plain(300));
            let back = self.bench.pull_back(client, &target, &attempt).await.map_err(|error| format!("{error:#}"));
            let objection = match back {
                _ if took < self.recipe.shortest_push() => Some(format!("faster than the line is: {took:?}")),
                Err(error) => Some(format!("pushed, but not pulled back: {}", crate::words::of_client(&error))),
                Ok(()) => None,
            };
            cell.passed = objection.is_none();
            cell.client_words = objection.unwrap_or(cell.client_words);
        }
        Ok(cell)
    }

    /// Collects the evidence and lets the parts go.
    async fn prove(&self, combination: Combination, number: u16, mut parts: Parts) -> Result<Option<Proof>> {
        let Some(door) = parts.door.take() else { return Ok(None) };
        let round_the_door = TcpStream::connect((self.yard.yard_address(), 5000 + number));
        if let Ok(Ok(_)) = timeout(Duration::from_secs(1), round_the_door).await {
            bail!("the registry can be reached without Tidegate");
        }
        let metrics = door.metrics().await?;
        let log = door.log();
        door.stop().await?;
        for issued in parts.authority.issued() {
            parts.canaries.token(&issued.token);
        }
        let tickets = parts.relay.overheard();
        tickets.iter().for_each(|ticket| parts.canaries.ticket(ticket));
        let gate = self.yard.gate_back_address();
        let (seen, allowed) = match (&parts.spool, combination.hop) {
            (Some(spool), Hop::Behind) => {
                let behind = parts.registry.peers()?;
                if behind != [Ipv4Addr::LOCALHOST] {
                    bail!("the registry behind nginx was asked by {behind:?}");
                }
                (spool.peers()?, gate)
            }
            _ => (parts.registry.peers()?, gate),
        };
        let log_bytes = log.len();
        // The search takes seconds, and this thread is the line that other pushes go over.
        let (canaries, counted) = (parts.canaries, metrics.clone());
        let leaks =
            tokio::task::spawn_blocking(move || canaries.leaks_in(&[("log", &log), ("metrics", &counted)])).await?;
        Ok(Some(Proof {
            robbed: robbed(&parts.authority.received(), self.yard.gate_address()),
            rescues: counter(&metrics, "tidegate_rescues_total"),
            uploads_rescued: counter(&metrics, "tidegate_uploads_rescued_total"),
            strangers: seen.iter().copied().filter(|peer| *peer != allowed).collect(),
            asked: !seen.is_empty(),
            leaks,
            log_bytes,
            tickets: tickets.len(),
        }))
    }
}

/// Token requests that did not come from Tidegate, or whose credentials got lost on the way through it: those that name an
/// account carry it as it was.
fn robbed(received: &[Received], gate: Ipv4Addr) -> Vec<String> {
    let strange = |request: &&Received| {
        let credentials = request.header("authorization");
        let named = request.query.split('&').any(|pair| pair.starts_with("account="));
        request.peer.ip() != gate || credentials.len() > 1 || (named && credentials.is_empty())
    };
    received.iter().filter(strange).map(|one| format!("{} {} from {}", one.method, one.path, one.peer.ip())).collect()
}

/// Nobody's mount from another repository can shorten a push: each client has one of its own.
fn repository(client: Client) -> String {
    format!("matrix/{}", client.name())
}

/// A port nobody listens on just now, for programs that cannot be given a socket.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Runs them all, so many at a time, and returns what became of each in the order given.
pub(crate) async fn run_all(
    stage: &Rc<Stage>,
    combinations: &[Combination],
    at_once: usize,
    mut told: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>> {
    let mut waiting = combinations.iter().copied().zip(0..).collect::<Vec<(Combination, u16)>>().into_iter();
    let mut running = JoinSet::new();
    let mut outcomes = Vec::new();
    loop {
        while running.len() < at_once {
            let Some((combination, number)) = waiting.next() else { break };
            let run = spawn_local(Rc::clone(stage).run(combination, number));
            running.spawn_local(async move { run.await?.with_context(|| combination.name()) });
        }
        let Some(outcome) = running.join_next().await else { break };
        let outcome = outcome??;
        told(&outcome);
        outcomes.push(outcome);
    }
    outcomes.sort_by_key(|outcome| combinations.iter().position(|one| *one == outcome.combination));
    Ok(outcomes)
}
