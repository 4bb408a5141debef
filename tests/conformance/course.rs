//! One run of the suite from the first daemon to the last proof.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, timeout};

use crate::answers::Answers;
use crate::suite::{Profile, Target, judge};
use crate::support::authority::{Authority, Life, Login, Voice};
use crate::support::door::{Door, Orders, Renew};
use crate::support::keys::Keys;
use crate::support::registry::{Flavor, Registry, Trust};
use crate::support::yard::Yard;
use crate::verdicts::Verdicts;

const USER: &str = "conformance";
const PASSWORD: &str = "of-the-suite";

/// The version that the suite's client speaks to Tidegate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Http {
    One,
    Two,
}

impl Http {
    /// As Tidegate's access log names it.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::One => "HTTP/1.1",
            Self::Two => "HTTP/2",
        }
    }
}

/// How the suite reaches the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By itself.
    Alone,
    /// The same once more, to know what is not the same twice.
    AloneAgain,
    /// Over TLS to Tidegate, which alone has a way to the registry.
    Through(Http, Renew),
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Course {
    pub(crate) flavor: Flavor,
    pub(crate) profile: Profile,
    pub(crate) way: Way,
}

impl Course {
    /// Every one there is.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for flavor in Flavor::ALL {
            for profile in Profile::ALL {
                let mut ways = vec![Way::Alone, Way::AloneAgain];
                for http in [Http::One, Http::Two] {
                    ways.push(Way::Through(http, Renew::Resign));
                }
                // How Tidegate comes by its token should change no answer of the registry's: once shows it.
                if profile == Profile::Stable {
                    ways.push(Way::Through(Http::Two, Renew::Exchange));
                }
                all.extend(ways.into_iter().map(|way| Self { flavor, profile, way }));
            }
        }
        all
    }

    /// Whether it belongs to what every `cargo test` runs.
    pub(crate) fn covers(self) -> bool {
        let Self { flavor, profile, way } = self;
        flavor == Flavor::Distribution31 && profile == Profile::Wide && way == Way::Through(Http::Two, Renew::Resign)
    }

    pub(crate) fn name(self) -> String {
        format!("{}-{}-{}", self.flavor.name(), self.profile.name(), self.way_name())
    }

    fn way_name(self) -> &'static str {
        match self.way {
            Way::Alone => "alone",
            Way::AloneAgain => "again",
            Way::Through(Http::One, Renew::Resign) => "h1-resign",
            Way::Through(Http::One, Renew::Exchange) => "h1-exchange",
            Way::Through(Http::Two, Renew::Resign) => "h2-resign",
            Way::Through(Http::Two, Renew::Exchange) => "h2-exchange",
        }
    }

    pub(crate) fn is_through(self) -> bool {
        matches!(self.way, Way::Through(..))
    }

    /// Whether `other` is held against it.
    pub(crate) fn is_reference_of(self, other: Self) -> bool {
        other.is_through() && !self.is_through() && self.flavor == other.flavor && self.profile == other.profile
    }
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) course: Course,
    pub(crate) verdicts: Verdicts,
    pub(crate) answers: Answers,
    /// Requests below `/v2/` in Tidegate's access log, all of the protocol that was wanted; none without Tidegate.
    pub(crate) logged: usize,
    pub(crate) took: Duration,
}

/// What stands while a course through Tidegate is run.
pub(crate) struct Standing {
    pub(crate) authority: Authority,
    pub(crate) registry: Registry,
    pub(crate) door: Door,
    pub(crate) orders: Orders,
}

/// What all courses share.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) dir: PathBuf,
    pub(crate) tidegate: PathBuf,
    pub(crate) yard: Yard,
    pub(crate) keys: Keys,
}

impl Ground {
    /// Runs `course`; `number` keeps its ports apart from those of the others.
    async fn run(self: Rc<Self>, course: Course, number: u16) -> Result<Outcome> {
        let dir = self.dir.join(course.name());
        std::fs::create_dir_all(&dir)?;
        match course.way {
            Way::Alone | Way::AloneAgain => self.alone(course, &dir).await,
            Way::Through(http, renew) => {
                let standing = self.stand(course.flavor, renew, number, &dir).await?;
                self.through(course, http, &dir, standing).await
            }
        }
    }

    async fn alone(&self, course: Course, dir: &Path) -> Result<Outcome> {
        let (voice, authority) = self.authority().await?;
        // A port nobody listens on just now: the registry cannot be given a socket.
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let trust = Trust {
            realm: format!("http://127.0.0.1:{}/jwt/auth", authority.address().port()),
            issuer: voice.issuer,
            service: voice.service,
            bundle: self.keys.authority_certificate.clone(),
            jwks: Some(self.keys.authority_jwks.clone()),
        };
        let registry = Registry::start(course.flavor, &dir.join("registry"), None, listen, &trust).await?;
        let outcome = self.judge(course, dir, &listen.to_string(), None).await?;
        ensure!(registry.peers()? == [Ipv4Addr::LOCALHOST], "the registry was asked by {:?}", registry.peers()?);
        Ok(outcome)
    }

    async fn through(&self, course: Course, http: Http, dir: &Path, standing: Standing) -> Result<Outcome> {
        let Standing { registry, door, orders, authority: _asked } = standing;
        let mut outcome = self.judge(course, dir, &orders.public.to_string(), Some(http)).await?;
        if let Ok(Ok(_)) = timeout(Duration::from_secs(1), TcpStream::connect(orders.origin)).await {
            bail!("the registry can be reached without Tidegate");
        }
        let peers = registry.peers()?;
        ensure!(peers == [self.yard.gate_back_address()], "the registry was asked by {peers:?}");
        // Only a Tidegate that has ended has written its last line.
        door.stop().await?;
        outcome.logged = logged(&std::fs::read_to_string(dir.join("door/tidegate.log"))?, http)?;
        let sent = outcome.answers.exchanges();
        ensure!(outcome.logged == sent, "{sent} requests sent, {} in Tidegate's log", outcome.logged);
        Ok(outcome)
    }

    async fn authority(&self) -> Result<(Voice, Authority)> {
        let voice = Voice {
            issuer: "gitlab-issuer".to_owned(),
            service: "container_registry".to_owned(),
            kid: self.keys.authority_kid.clone(),
        };
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let authority = Authority::start(anywhere, voice.clone(), &self.keys.authority_key, Life::Plain(300)).await?;
        authority.admit(Login::user(7, USER, PASSWORD, "conformance"));
        Ok((voice, authority))
    }

    /// An authority, a registry in the yard and Tidegate in the gatehouse, the only one with a way to it.
    pub(crate) async fn stand(&self, flavor: Flavor, renew: Renew, number: u16, dir: &Path) -> Result<Standing> {
        let (voice, authority) = self.authority().await?;
        let orders = self.orders(number, renew, authority.address().port());
        // Where Tidegate signs, the registry trusts Tidegate alone: a token of the authority that slips through is refused.
        let (bundle, jwks) = match renew {
            Renew::Resign => (self.keys.signing_ca.clone(), None),
            Renew::Exchange => (self.keys.authority_certificate.clone(), Some(self.keys.authority_jwks.clone())),
        };
        let (issuer, service) = (voice.issuer.clone(), voice.service.clone());
        let trust = Trust { realm: orders.realm.clone(), issuer, service, bundle, jwks };
        let yard = Some(self.yard.yard());
        let registry = Registry::start(flavor, &dir.join("registry"), yard, orders.origin, &trust).await?;
        let gatehouse = Some(self.yard.gatehouse());
        let door = Door::start(&self.tidegate, &dir.join("door"), gatehouse, &orders, &voice, &self.keys).await?;
        Ok(Standing { authority, registry, door, orders })
    }

    async fn judge(&self, course: Course, dir: &Path, address: &str, http: Option<Http>) -> Result<Outcome> {
        let target = Target {
            address: address.to_owned(),
            ca: http.map(|_| self.keys.tls_ca.clone()),
            http1_only: http == Some(Http::One),
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let begun = Instant::now();
        let (verdicts, answers) = judge(course.profile, &target, &dir.join("suite")).await?;
        // A Location that led round the door would be followed, and if somebody answered there nobody would know.
        ensure!(answers.hosts().iter().eq([address]), "sent to {address}, asked {:?}", answers.hosts());
        Ok(Outcome { course, verdicts, answers, logged: 0, took: begun.elapsed() })
    }

    fn orders(&self, number: u16, renew: Renew, authority: u16) -> Orders {
        let public = SocketAddr::from((self.yard.gate_address(), 8000 + number));
        Orders {
            public,
            admin: SocketAddr::from((self.yard.gate_address(), 9000 + number)),
            tls: true,
            trusted_proxy: self.yard.street_address(),
            authority: SocketAddr::from((self.yard.street_address(), authority)),
            origin: SocketAddr::from((self.yard.yard_address(), 5000 + number)),
            realm: format!("https://{public}/jwt/auth"),
            renew,
        }
    }
}

/// How many requests below `/v2/` the access log has; one of another protocol than wanted is an error, and so is none.
fn logged(log: &str, http: Http) -> Result<usize> {
    let mut count = 0;
    for line in log.lines().filter(|line| line.contains("tidegate::access")) {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let field = |name: &str| {
            let found = line.get(name).or_else(|| line.get("fields")?.get(name));
            found.and_then(Value::as_str).unwrap_or_default()
        };
        if field("path").starts_with("/v2/") {
            ensure!(field("protocol") == http.protocol(), "not {}: {line}", http.protocol());
            count += 1;
        }
    }
    ensure!(count > 0, "Tidegate logged no request");
    Ok(count)
}

/// Runs them all, so many at a time, and returns what became of each in the order given.
pub(crate) async fn run_all(
    ground: &Rc<Ground>,
    courses: &[Course],
    at_once: usize,
    mut told: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>> {
    let mut waiting = courses.iter().copied().zip(0..).collect::<Vec<(Course, u16)>>().into_iter();
    let mut running = JoinSet::new();
    let mut outcomes = Vec::new();
    loop {
        while running.len() < at_once.max(1) {
            let Some((course, number)) = waiting.next() else { break };
            let run = spawn_local(Rc::clone(ground).run(course, number));
            running.spawn_local(async move { run.await?.with_context(|| course.name()) });
        }
        let Some(outcome) = running.join_next().await else { break };
        let outcome = outcome??;
        told(&outcome);
        outcomes.push(outcome);
    }
    outcomes.sort_by_key(|outcome| courses.iter().position(|one| *one == outcome.course));
    Ok(outcomes)
}
