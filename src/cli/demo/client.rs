//! The client: a real one, with credentials, caches and configuration of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use super::authority::{NAMESPACE, USER};
use super::child::{Ran, command, run, run_ok};
use super::image::{Image, TAG};
use super::programs::{Kind, Program};

/// For what needs no network, or only this machine's.
const LOCAL: Duration = Duration::from_secs(60);

/// Who pushes.
#[derive(Debug)]
pub(super) struct Client {
    kind: Kind,
    path: PathBuf,
    /// Name and version.
    pub(super) name: String,
    /// Where docker's engine is: found out before its configuration is replaced by one of ours.
    engine: Option<String>,
    /// What the engine was given, to be taken away again.
    given: std::cell::RefCell<Vec<String>>,
}

/// Where a push goes, and where its files are.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) address: SocketAddr,
    /// Of this push alone.
    pub(super) dir: &'a Path,
    pub(super) repository: &'a str,
    pub(super) password: &'a str,
}

impl Client {
    /// Makes sure it can be used.
    ///
    /// # Errors
    /// For docker, when there is no engine.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn new(program: Program) -> anyhow::Result<Self> {
        let Program { kind, path, name } = program;
        let engine = if kind == Kind::Docker { Some(engine(&path).await?) } else { None };
        Ok(Self { kind, path, name, engine, given: std::cell::RefCell::default() })
    }

    /// Its name alone.
    pub(super) fn program(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Puts the image where the client takes it from. Only docker has a place of its own, and the image there is
    /// another one: the same layer, packed and described by the engine.
    ///
    /// # Cancel safety
    /// What docker was given is noted first: [`Client::forget`] takes it back.
    pub(super) async fn prepare(&self, image: &Image, place: &Place<'_>) -> anyhow::Result<()> {
        std::fs::create_dir_all(place.dir)?;
        if self.kind == Kind::Docker {
            self.given.borrow_mut().push(place.reference());
            let mut import = self.command(place)?;
            import.arg("import").arg(&image.tar).arg(place.reference());
            run_ok(&mut import, &place.log("import"), LOCAL).await?;
        }
        Ok(())
    }

    /// Pushes. That it fails is a result, not an error.
    ///
    /// # Cancel safety
    /// Dropping the future kills the client.
    pub(super) async fn push(&self, image: &Image, place: &Place<'_>, deadline: Duration) -> anyhow::Result<Ran> {
        let mut command = self.command(place)?;
        match self.kind {
            Kind::Skopeo => command
                .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
                .arg(format!("oci:{}:{TAG}", image.layout.display()))
                .arg(format!("docker://{}", place.reference())),
            Kind::Crane => command.args(["push", "--insecure"]).arg(&image.layout).arg(place.reference()),
            Kind::Docker => command.arg("push").arg(place.reference()),
        };
        run(&mut command, &place.log("push"), deadline).await
    }

    /// Pulls what was pushed, compares, and gives the manifest's digest.
    ///
    /// # Errors
    /// What differs, or why it could not be pulled.
    ///
    /// # Cancel safety
    /// Dropping the future kills the client.
    pub(super) async fn pull_back(&self, image: &Image, place: &Place<'_>, pushed: &Ran) -> anyhow::Result<String> {
        let back = place.dir.join("back");
        let mut command = self.command(place)?;
        match self.kind {
            Kind::Skopeo => command
                .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
                .arg(format!("docker://{}", place.reference()))
                .arg(format!("oci:{}:{TAG}", back.display())),
            Kind::Crane => command.args(["pull", "--insecure", "--format", "oci"]).arg(place.reference()).arg(&back),
            Kind::Docker => return self.docker_back(place, pushed).await,
        };
        run_ok(&mut command, &place.log("pull"), LOCAL).await?;
        image.same_as(&back)
    }

    /// The engine checks every digest while it pulls; its image id is the digest of the configuration, which names the
    /// content of every layer.
    async fn docker_back(&self, place: &Place<'_>, pushed: &Ran) -> anyhow::Result<String> {
        let inspect = async |format: &str, log: &str| {
            let mut command = self.command(place)?;
            command.args(["image", "inspect", "--format", format]).arg(place.reference());
            run_ok(&mut command, &place.log(log), LOCAL).await
        };
        let said = pushed.words.rsplit_once("digest: ").and_then(|(_, rest)| rest.split_ascii_whitespace().next());
        let digest = said.context("docker named no digest")?.to_owned();
        let before = inspect("{{.Id}}", "inspect-pushed").await?;
        // A layer that any image still has would not be pulled.
        self.forget().await;
        self.given.borrow_mut().push(place.reference());
        run_ok(self.command(place)?.arg("pull").arg(place.reference()), &place.log("pull"), LOCAL).await?;
        let after = inspect("{{.Id}}", "inspect-pulled").await?;
        ensure!(before == after, "pushed image {}, pulled {}", before.trim(), after.trim());
        let digests = inspect("{{.RepoDigests}}", "inspect-digests").await?;
        ensure!(digests.contains(&digest), "pushed manifest {digest}, pulled {}", digests.trim());
        Ok(digest)
    }

    /// Takes back what docker's engine was given. The others were given nothing.
    ///
    /// # Cancel safety
    /// Not to be dropped: an image would stay with the engine.
    pub(super) async fn forget(&self) {
        for reference in self.given.take() {
            let mut command = command(&self.path);
            command.args(self.engine.iter().flat_map(|engine| ["-H", engine])).args(["image", "rm", "-f", &reference]);
            // What is not there any more need not be removed.
            let _gone = timeout(LOCAL, command.output()).await;
        }
    }

    /// A command that sees the files of this push alone.
    fn command(&self, place: &Place<'_>) -> anyhow::Result<Command> {
        let home = place.dir.join("home");
        std::fs::create_dir_all(&home)?;
        let auth = STANDARD.encode(format!("{USER}:{}", place.password));
        let login = json!({ "auths": { place.address.to_string(): { "auth": auth } } });
        let file = home.join("config.json");
        std::fs::write(&file, login.to_string())?;
        let registries = home.join("registries.conf");
        std::fs::write(&registries, "unqualified-search-registries = []\n")?;
        let mut command = command(&self.path);
        command.env("HOME", &home).env("DOCKER_CONFIG", &home).env("REGISTRY_AUTH_FILE", &file);
        command.env("XDG_DATA_HOME", &home).env("CONTAINERS_REGISTRIES_CONF", &registries).env("TMPDIR", &home);
        command.args(self.engine.iter().flat_map(|engine| ["-H", engine]));
        Ok(command)
    }
}

impl Place<'_> {
    fn reference(&self) -> String {
        format!("{}/{}:{TAG}", self.address, self.repository)
    }

    fn log(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{what}.log"))
    }
}

/// The repository of a push, in the one namespace the login may push to.
pub(super) fn repository(name: &str) -> String {
    format!("{NAMESPACE}{name}")
}

/// The engine that the docker command would use, and that there is one.
async fn engine(docker: &Path) -> anyhow::Result<String> {
    let ask = async |arguments: &[&str]| {
        let answer = timeout(LOCAL, command(docker).args(arguments).output()).await.context("no answer")??;
        let said = String::from_utf8_lossy(if answer.status.success() { &answer.stdout } else { &answer.stderr });
        ensure!(answer.status.success(), "{}", said.trim());
        Ok(said.trim().to_owned())
    };
    let engine = ask(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).await?;
    let there = ask(&["-H", &engine, "version", "--format", "{{.Server.Version}}"]).await;
    there.context("docker has no engine to push with; `--client skopeo` and `--client crane` need none")?;
    Ok(engine)
}
