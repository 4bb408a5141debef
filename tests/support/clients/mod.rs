//! The eight clients, each the real program with configuration, credentials and storage of its own: nothing of a user's
//! home is read or written, and no client sees what another one did.
//!
//! A push is an [`Attempt`]: failing is a result here, since half of what is measured is how pushes fail. Everything else
//! that goes wrong (a missing program, a daemon that does not start) is an error.

mod containers;
mod containerd;
mod docker;
pub(crate) mod gotools;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::image::Image;
use super::process::Ran;
pub(crate) use containerd::Containerd;
pub(crate) use containers::Stores;
pub(crate) use docker::Engine;

/// Who pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Client {
    Docker,
    Skopeo,
    Podman,
    Buildah,
    Ctr,
    Crane,
    Oras,
    Regctl,
}

impl Client {
    pub(crate) const ALL: [Self; 8] =
        [Self::Docker, Self::Skopeo, Self::Podman, Self::Buildah, Self::Ctr, Self::Crane, Self::Oras, Self::Regctl];

    /// The program's name, on PATH and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Skopeo => "skopeo",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
            Self::Ctr => "ctr",
            Self::Crane => "crane",
            Self::Oras => "oras",
            Self::Regctl => "regctl",
        }
    }
}

/// Where to push, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The certificate authority to trust; plain HTTP without.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// A directory of this push alone.
    pub(crate) dir: PathBuf,
    /// How long a push or a pull may take before it is called hung.
    pub(crate) deadline: Duration,
}

impl Target {
    /// `host:port/repository:tag`.
    pub(crate) fn reference(&self) -> String {
        format!("{}/{}:{}", self.address, self.repository, self.tag)
    }

    /// A directory below its own, made.
    fn subdir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(dir)
    }

    /// A directory with the `config.json` that docker, crane, oras and the containers tools all read.
    fn docker_config(&self) -> Result<PathBuf> {
        let dir = self.subdir("docker-config")?;
        let auth = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let auths = json!({ "auths": { self.address.to_string(): { "auth": auth } } });
        std::fs::write(dir.join("config.json"), auths.to_string())?;
        Ok(dir)
    }
}

/// How a push ended.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) ok: bool,
    /// It did not end by itself.
    pub(crate) hung: bool,
    /// The manifest digest the client says it pushed.
    pub(crate) digest: Option<String>,
    /// All it said.
    pub(crate) words: String,
}

impl Attempt {
    fn of(ran: &Ran, digest: Option<String>) -> Self {
        Self { ok: ran.ok, hung: ran.hung, digest, words: ran.words() }
    }
}

/// What the clients of one run share: the image, and the daemons and stores that hold it.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) image: Image,
    engine: Engine,
    containerd: Containerd,
    stores: Stores,
}

impl Bench {
    /// Makes the image (`mib` MiB in one layer), starts the daemons and loads them.
    pub(crate) async fn set_up(dir: &Path, mib: usize) -> Result<Self> {
        let image = Image::make(&dir.join("image"), mib).await?;
        let (engine, containerd, stores) = ["engine", "containerd", "stores"].map(|name| dir.join(name)).into();
        let runs = dir.join("run");
        let (engine, containerd, stores) = tokio::try_join!(
            Engine::start(&engine, mib),
            Containerd::start(&containerd, &image),
            Stores::load(&stores, &runs, &image),
        )?;
        Ok(Self { image, engine, containerd, stores })
    }

    /// Ends the daemons properly: an engine that is killed leaves mounts behind.
    pub(crate) async fn tear_down(self) -> Result<()> {
        self.engine.stop().await?;
        self.containerd.stop().await
    }

    /// What has to be at hand before the clock of a push starts.
    pub(crate) async fn prepare(&self, client: Client, target: &Target) -> Result<()> {
        std::fs::create_dir_all(&target.dir)?;
        match client {
            Client::Docker => self.engine.prepare(target).await,
            _ => Ok(()),
        }
    }

    pub(crate) async fn push(&self, client: Client, target: &Target) -> Result<Attempt> {
        match client {
            Client::Docker => self.engine.push(target).await,
            Client::Skopeo => containers::skopeo_push(&self.image, target).await,
            Client::Podman | Client::Buildah => self.stores.push(client, target).await,
            Client::Ctr => self.containerd.push(target, &self.image).await,
            Client::Crane => gotools::crane_push(&self.image, target).await,
            Client::Oras => gotools::oras_push(&self.image, target).await,
            Client::Regctl => gotools::regctl_push(&self.image, target).await,
        }
    }

    /// Pulls what was pushed into an empty place with the same client, and compares. An error says what differs.
    pub(crate) async fn pull_back(&self, client: Client, target: &Target, pushed: &Attempt) -> Result<()> {
        let digest = pushed.digest.as_deref().context("the client named no digest")?;
        match client {
            Client::Docker => self.engine.pull_back(target, digest).await,
            Client::Skopeo => containers::skopeo_pull_back(&self.image, target).await,
            Client::Podman | Client::Buildah => self.stores.pull_back(client, target, digest).await,
            Client::Ctr => self.containerd.pull_back(target, &self.image).await,
            Client::Crane => gotools::crane_pull_back(&self.image, target).await,
            Client::Oras => gotools::oras_pull_back(&self.image, target, digest).await,
            Client::Regctl => gotools::regctl_pull_back(&self.image, target).await,
        }
    }
}

/// The first `sha256:…` in a text.
fn digest_in(text: &str) -> Option<String> {
    let start = text.find("sha256:")?;
    let digest: String = text.get(start..)?.chars().take("sha256:".len() + 64).collect();
    digest.chars().skip("sha256:".len()).all(|c| c.is_ascii_hexdigit()).then_some(digest)
}

fn same(what: &str, pushed: &str, pulled: &str) -> Result<()> {
    ensure!(pushed == pulled, "{what}: pushed {pushed}, pulled back {pulled}");
    Ok(())
}
