//! The parts of one fault, running: an authority, a registry or a peer that plays one, Tidegate, and a client's steps.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{Instant, sleep};

use crate::case::Case;
use crate::line::{Heard, Line, Reply, head};
use crate::measure::{Measure, mib};
use crate::network::Place;
use crate::support::authority::{Authority, Life, Login, Voice};
use crate::support::clients::{Target, gotools};
use crate::support::door::{Door, Orders, Renew, configuration};
use crate::support::image::sha256_of;
use crate::support::process::command_in;
use crate::support::registry::{Flavor, Registry, Trust};

/// How long a client waits where it has no reason to give up.
pub(crate) const PATIENT: Duration = Duration::from_secs(40);
/// The one who pushes; may do everything below `faults/`.
pub(crate) const ADA: &str = "ada";
/// Another one, to see that what befalls ada does not befall all.
pub(crate) const BOB: &str = "bob";

/// What a scene is made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) behind: Behind,
    pub(crate) renew: Renew,
    pub(crate) tls: bool,
    /// The lines of `[timeouts]`: short, so that a fault's end can be waited for.
    pub(crate) timeouts: String,
    /// Further sections of the file.
    pub(crate) more: String,
    /// What stands before `tidegate` on its command line.
    pub(crate) wrap: Vec<OsString>,
    /// Who is asked for tokens, when it is not the double of GitLab; on the street.
    pub(crate) authority: Option<u16>,
    /// What clients call it by, when it is not the door's own address.
    pub(crate) realm: Option<SocketAddr>,
}

/// What stands behind Tidegate.
#[derive(Debug, Clone)]
pub(crate) enum Behind {
    /// A registry in the yard.
    Real(Flavor),
    /// A registry in the yard that writes to a file system of so many MiB.
    Cramped(Flavor, u16),
    /// A peer on the street, at this port.
    Peer(u16),
    /// The lines of `[sites."*".registry]`.
    Lines(String),
}

impl Plan {
    pub(crate) fn new(behind: Behind) -> Self {
        let timeouts = "handshake = \"3s\"\nrequest_head = \"3s\"\nidle = \"4s\"\nconnect = \"2s\"\nresponse = \"6s\"\n\
                        authority = \"3s\"\ndrain = \"3s\"\n";
        Self {
            behind,
            renew: Renew::Resign,
            tls: false,
            timeouts: timeouts.to_owned(),
            more: String::new(),
            wrap: Vec::new(),
            authority: None,
            realm: None,
        }
    }

    pub(crate) fn real(flavor: Flavor) -> Self {
        Self::new(Behind::Real(flavor))
    }

    pub(crate) fn peer(port: u16) -> Self {
        Self::new(Behind::Peer(port))
    }

    /// One of the timeouts, otherwise.
    pub(crate) fn timeout(mut self, key: &str, value: &str) -> Self {
        let mut lines: Vec<String> = self.timeouts.lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with(&format!("{key} ")));
        lines.push(format!("{key} = \"{value}\""));
        self.timeouts = lines.join("\n") + "\n";
        self
    }
}

/// The parts, running; gone when dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) registry: Option<Registry>,
    pub(crate) door: Door,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) origin: SocketAddr,
    pub(crate) dir: PathBuf,
    pub(crate) voice: Voice,
    orders: Orders,
    passwords: Vec<(String, String)>,
    /// What the door held when it had served a push and a pull.
    pub(crate) base: Option<Measure>,
    /// After the registry that writes there.
    small: Option<Mount>,
}

/// A small file system; gone when dropped.
#[derive(Debug)]
struct Mount(PathBuf);

impl Mount {
    fn make(at: &Path, mib: u16) -> Result<Self> {
        let size = format!("size={mib}m");
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status()?;
        ensure!(mounted.success(), "no small file system");
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, since the registry may be on its way out still.
        let _gone = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// An upload under way.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// Path and query of the next request.
    pub(crate) location: String,
}

impl Scene {
    /// Sets one up. With a real registry a real client pushes and pulls an image first; then what the door holds is measured.
    pub(crate) async fn set(case: &mut Case, plan: Plan) -> Result<Self> {
        let number = case.scenes;
        let dir = case.subdir()?;
        let ground = std::rc::Rc::clone(&case.ground);
        let voice = Voice {
            issuer: "gitlab-issuer".to_owned(),
            service: "container_registry".to_owned(),
            kid: ground.keys.authority_kid.clone(),
        };
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let authority = Authority::start(anywhere, voice.clone(), &ground.keys.authority_key, Life::Plain(300)).await?;
        let mut passwords = Vec::new();
        for (id, name) in [(1, ADA), (2, BOB)] {
            let password = case.canaries.plant(name);
            authority.admit(Login::user(id, name, &password, "faults"));
            passwords.push((name.to_owned(), password));
        }
        let public = SocketAddr::from((ground.yard.gate_address(), case.port(number, 0)));
        let admin = SocketAddr::from((ground.yard.gate_address(), case.port(number, 1)));
        let origin = SocketAddr::from((ground.yard.yard_address(), case.port(number, 2)));
        let street = ground.yard.street_address();
        let scheme = if plan.tls { "https" } else { "http" };
        let orders = Orders {
            public,
            admin,
            tls: plan.tls,
            trusted_proxy: street,
            authority: SocketAddr::from((street, plan.authority.unwrap_or(authority.address().port()))),
            origin,
            realm: format!("{scheme}://{}/jwt/auth", plan.realm.unwrap_or(public)),
            renew: plan.renew,
        };
        let mut text = configuration(&orders, &voice, &ground.keys);
        let lines = match &plan.behind {
            Behind::Peer(port) => Some(format!("origins = [\"http://{street}:{port}\"]")),
            Behind::Lines(lines) => Some(lines.clone()),
            Behind::Real(_) | Behind::Cramped(..) => None,
        };
        if let Some(lines) = lines {
            text = text.replace(&format!("origins = [\"http://{origin}\"]"), &lines);
        }
        text.push_str(&format!("\n[timeouts]\n{}\n{}", plan.timeouts, plan.more));
        let mut small = None;
        let registry = match plan.behind {
            Behind::Real(flavor) => Some(start_registry(case, flavor, &dir, &orders, &voice).await?),
            Behind::Cramped(flavor, mib) => {
                let storage = dir.join("registry/storage");
                std::fs::create_dir_all(&storage)?;
                small = Some(Mount::make(&storage, mib)?);
                Some(start_registry(case, flavor, &dir, &orders, &voice).await?)
            }
            Behind::Peer(_) | Behind::Lines(_) => None,
        };
        let door = open(&ground.tidegate, &plan.wrap, ground.yard.gatehouse(), &dir.join("door"), &text, admin).await?;
        let mut scene =
            Self { authority, registry, door, public, admin, origin, dir, voice, orders, passwords, base: None, small };
        if scene.registry.is_some() && !plan.tls {
            scene.push_and_pull(case, "warm-up").await.context("the push before the fault")?;
        }
        scene.base = Some(scene.measure(case).await?);
        Ok(scene)
    }

    /// The same registry again, after it was killed.
    pub(crate) async fn restart_registry(&mut self, case: &Case, flavor: Flavor) -> Result<()> {
        self.registry = Some(start_registry(case, flavor, &self.dir, &self.orders, &self.voice).await?);
        Ok(())
    }

    pub(crate) async fn measure(&self, case: &Case) -> Result<Measure> {
        Measure::of(&self.door, Place::In(case.ground.yard.gatehouse()), self.ports()).await
    }

    /// A first crowd is gone: the second one is measured against what the allocator kept.
    pub(crate) async fn rebase(&mut self, case: &mut Case) -> Result<()> {
        let Some(base) = self.base else { return Ok(()) };
        let gate = case.ground.yard.gatehouse().to_owned();
        let after = base.after_crowd(&self.door, Place::In(&gate), self.ports()).await?;
        case.back(format!("after a first crowd the allocator keeps {:.1} MiB", mib(after.memory)));
        self.base = Some(after);
        Ok(())
    }

    /// The ports the door listens on.
    pub(crate) fn ports(&self) -> [u16; 2] {
        [self.public.port(), self.admin.port()]
    }

    /// A real client pushes an image and pulls it back.
    pub(crate) async fn push_and_pull(&self, case: &Case, what: &str) -> Result<()> {
        let target = Target {
            address: self.orders.realm_address().unwrap_or(self.public),
            ca: None,
            repository: format!("faults/{what}"),
            tag: "v1".to_owned(),
            user: BOB.to_owned(),
            password: self.password(BOB)?,
            dir: self.dir.join(what),
            deadline: PATIENT,
        };
        std::fs::create_dir_all(&target.dir)?;
        let pushed = gotools::crane_push(&case.ground.image, &target).await?;
        ensure!(pushed.ok, "crane: {}", pushed.words);
        gotools::crane_pull_back(&case.ground.image, &target).await
    }

    pub(crate) fn password(&self, user: &str) -> Result<String> {
        let found = self.passwords.iter().find(|(name, _)| name == user);
        found.map(|(_, password)| password.clone()).context("no such user")
    }

    /// The value of an Authorization header with a user's password.
    pub(crate) fn basic(&self, user: &str) -> Result<String> {
        Ok(format!("Basic {}", STANDARD.encode(format!("{user}:{}", self.password(user)?))))
    }

    /// Asks the token endpoint for push and pull on a repository.
    pub(crate) async fn ask_token(&self, user: &str, repository: &str) -> Result<Heard> {
        let target =
            format!("/jwt/auth?service={}&scope=repository:{repository}:pull,push&account={user}", self.voice.service);
        self.get(&target, &self.basic(user)?).await
    }

    /// A bearer value for push and pull on a repository.
    pub(crate) async fn token(&self, user: &str, repository: &str) -> Result<String> {
        let reply = self.ask_token(user, repository).await?.reply()?;
        ensure!(reply.status == 200, "no token: {} {}", reply.status, reply.text());
        let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
        let token = body.get("token").and_then(serde_json::Value::as_str).context("no token in the answer")?;
        Ok(format!("Bearer {token}"))
    }

    /// A GET on a connection of its own.
    pub(crate) async fn get(&self, target: &str, authorization: &str) -> Result<Heard> {
        self.request("GET", target, authorization, b"").await
    }

    /// A request with its whole body, on a connection of its own.
    pub(crate) async fn request(&self, method: &str, target: &str, authorization: &str, body: &[u8]) -> Result<Heard> {
        let mut line = Line::to(self.public).await?;
        let length = body.len().to_string();
        let headers = [("Authorization", authorization), ("Content-Length", &length)];
        line.send(&head(method, target, self.public, &headers)).await?;
        line.send(body).await?;
        Ok(line.hear(PATIENT).await)
    }

    /// Opens an upload.
    pub(crate) async fn open_upload(&self, case: &mut Case, token: &str, repository: &str) -> Result<Upload> {
        let heard = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), token, b"").await?;
        let reply = heard.reply()?;
        ensure!(reply.status == 202, "no upload: {} {}", reply.status, reply.text());
        next(case, &reply)
    }

    /// Begins a PATCH of `length` bytes, the body still to come; none: chunked.
    pub(crate) async fn begin_patch(&self, upload: &Upload, token: &str, length: Option<usize>) -> Result<Line> {
        let mut line = Line::to(self.public).await?;
        let framing = match length {
            Some(length) => ("Content-Length", length.to_string()),
            None => ("Transfer-Encoding", "chunked".to_owned()),
        };
        let headers = [("Authorization", token), ("Content-Type", "application/octet-stream"), (framing.0, &framing.1)];
        line.send(&head("PATCH", &upload.location, self.public, &headers)).await?;
        Ok(line)
    }

    /// The last request of an upload of `length` zeros.
    pub(crate) async fn commit(&self, upload: &Upload, token: &str, length: usize) -> Result<Heard> {
        let joint = if upload.location.contains('?') { '&' } else { '?' };
        self.request("PUT", &format!("{}{joint}digest={}", upload.location, zeros(length)), token, b"").await
    }

    /// A whole upload of `length` zeros: how it ended.
    pub(crate) async fn push_zeros(
        &self,
        case: &mut Case,
        token: &str,
        repository: &str,
        length: usize,
    ) -> Result<Heard> {
        let upload = self.open_upload(case, token, repository).await?;
        let mut line = self.begin_patch(&upload, token, Some(length)).await?;
        line.pour(length, PATIENT).await;
        let heard = line.hear(PATIENT).await;
        if !heard.is_success() {
            return Ok(heard);
        }
        let upload = next(case, &heard.reply()?)?;
        self.commit(&upload, token, length).await
    }

    /// Whether this stands in the log, where lines arrive a moment after what they are about.
    pub(crate) async fn logged(&self, words: &str) -> bool {
        let end = Instant::now() + Duration::from_secs(5);
        while !self.door.log().contains(words) {
            if Instant::now() > end {
                return false;
            }
            sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// Waits until all is back, looks at what the registry holds, lets the door go, and searches what it wrote.
    pub(crate) async fn close(self, case: &mut Case) -> Result<()> {
        if let Some(base) = self.base {
            let place = case.ground.yard.gatehouse().to_owned();
            let back = base.again(&self.door, Place::In(&place), self.ports()).await?;
            for left in &back.left {
                case.must(false, format!("30 s later there are still {left}"));
            }
            case.back(back.words());
        }
        let metrics = self.door.metrics().await?;
        self.door.signal("TERM");
        let Self { mut door, authority, registry, dir, small, .. } = self;
        // It waits five seconds after an upload's last request, in case there is another.
        let code = door.ended(Duration::from_secs(20)).await?;
        case.must(matches!(code, Some(0)), format!("told to leave with nothing to do, it ended with {code:?}"));
        search(case, &authority, &door.log(), &metrics)?;
        if let Some(registry) = registry {
            look_at(case, &registry, &dir)?;
        }
        drop(small);
        Ok(())
    }

    /// The same for a door that has ended already.
    pub(crate) fn close_after_end(self, case: &mut Case) -> Result<()> {
        search(case, &self.authority, &self.door.log(), "")?;
        if let Some(registry) = &self.registry {
            look_at(case, registry, &self.dir)?;
        }
        Ok(())
    }
}

impl Orders {
    /// Where clients are sent for tokens.
    fn realm_address(&self) -> Option<SocketAddr> {
        self.realm.split('/').nth(2)?.parse().ok()
    }
}

/// A Tidegate in a namespace.
pub(crate) async fn open(
    program: &Path,
    wrap: &[OsString],
    namespace: &str,
    dir: &Path,
    config: &str,
    admin: SocketAddr,
) -> Result<Door> {
    let mut words = wrap.iter().cloned().chain([program.as_os_str().to_owned()]);
    let mut command = command_in(Some(namespace), words.next().context("a program")?);
    command.args(words);
    Door::open(command, dir, config, admin).await
}

async fn start_registry(case: &Case, flavor: Flavor, dir: &Path, orders: &Orders, voice: &Voice) -> Result<Registry> {
    let keys = &case.ground.keys;
    let trust = Trust {
        realm: orders.realm.clone(),
        issuer: voice.issuer.clone(),
        service: voice.service.clone(),
        // Where Tidegate signs, the registry trusts nobody else: a token that slips through is refused.
        bundle: match orders.renew {
            Renew::Resign => keys.signing_ca.clone(),
            Renew::Exchange => keys.authority_certificate.clone(),
        },
        jwks: Some(keys.authority_jwks.clone()).filter(|_| orders.renew == Renew::Exchange),
    };
    let yard = Some(case.ground.yard.yard());
    Registry::start(flavor, &dir.join("registry"), yard, orders.origin, &trust).await
}

/// Where an upload goes on, by the answer to its last request; what is secret in there is remembered.
pub(crate) fn next(case: &mut Case, reply: &Reply) -> Result<Upload> {
    let location = reply.header("location").context("no Location")?.to_owned();
    ensure!(location.starts_with("/v2/"), "the Location is not on our own origin");
    for part in location.split(['?', '&']) {
        match part.split_once('=') {
            Some(("_tidegate", value)) => case.canaries.ticket(value),
            Some(("_state", value)) => case.states.ticket(value),
            _ => {}
        }
    }
    Ok(Upload { location })
}

/// No secret of this case stands in what the door wrote or counted.
pub(crate) fn search(case: &mut Case, authority: &Authority, log: &str, metrics: &str) -> Result<()> {
    for issued in authority.issued() {
        case.canaries.token(&issued.token);
    }
    ensure!(!log.is_empty(), "it logged nothing, so that no secret is in there proves nothing");
    let texts = [("log", log), ("metrics", metrics)];
    let leaks = case.canaries.leaks_in(&texts).into_iter().chain(case.states.leaks_in(&texts));
    for leak in leaks.collect::<Vec<_>>() {
        case.must(false, leak);
    }
    Ok(())
}

/// Nothing that Tidegate has to keep to itself stands in what another program wrote. What that one is sent by right it may
/// write down: findings that begin with one of these words.
pub(crate) fn search_other(case: &mut Case, place: &str, text: &str, by_right: &[&str]) {
    for leak in case.canaries.leaks_in(&[(place, text)]) {
        case.must(by_right.iter().any(|words| leak.starts_with(words)), leak);
    }
}

/// What there is to say of a scripted peer in place of what a registry holds: nobody but Tidegate has asked it.
pub(crate) fn scripted(case: &mut Case, peers: &[IpAddr]) {
    let gate = IpAddr::from(case.ground.yard.gate_address());
    case.must(
        peers.iter().all(|peer| *peer == gate),
        format!("a scripted peer was asked by {peers:?}, not by {gate} alone"),
    );
}

/// What a registry holds is what its name says, and nobody but Tidegate has asked it anything.
fn look_at(case: &mut Case, registry: &Registry, dir: &Path) -> Result<()> {
    let blobs = dir.join("registry/storage/docker/registry/v2/blobs/sha256");
    let mut held = 0;
    for prefix in std::fs::read_dir(&blobs).into_iter().flatten() {
        for blob in std::fs::read_dir(prefix?.path())? {
            let blob = blob?;
            let (name, data) = (blob.file_name().to_string_lossy().into_owned(), blob.path().join("data"));
            if data.exists() {
                held += 1;
                let digest = sha256_of(&data)?;
                case.must(digest == format!("sha256:{name}"), format!("the registry holds {digest} under {name}"));
            }
        }
    }
    let gate = case.ground.yard.gate_back_address();
    let peers = registry.peers()?;
    // Its access log has the targets it was asked for, with a state that is its own.
    search_other(case, "registry's log", &registry.log(), &["a value of _state="]);
    case.must(peers == [gate], format!("the registry was asked by {peers:?}, not by {gate} alone"));
    case.stored(format!("{held} blobs, all as named"));
    Ok(())
}

/// The digest of so many zeros.
pub(crate) fn zeros(length: usize) -> String {
    digest_of(&vec![0; length])
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
