//! skopeo, podman and buildah: one library, three programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{Attempt, Client, Target, same};
use crate::support::image::Image;
use crate::support::process::{Ran, command, run, run_ok};

const LOCAL: Duration = Duration::from_secs(120);
const LOCAL_NAME: &str = "localhost/tidegate-matrix";

pub(super) async fn skopeo_push(image: &Image, target: &Target) -> Result<Attempt> {
    let digest_file = target.dir.join("digest");
    let mut command = skopeo(target)?;
    command
        .arg("copy")
        .args(tls(target, "--dest-")?)
        .arg("--digestfile")
        .arg(&digest_file)
        .arg(format!("oci:{}:{}", image.layout.display(), image.tag()))
        .arg(format!("docker://{}", target.reference()));
    let ran = run(&mut command, target.deadline).await?;
    Ok(attempt(&ran, &digest_file))
}

pub(super) async fn skopeo_pull_back(image: &Image, target: &Target) -> Result<()> {
    let back = target.dir.join("back");
    let mut command = skopeo(target)?;
    command.arg("copy").args(tls(target, "--src-")?).arg(format!("docker://{}", target.reference())).arg(format!(
        "oci:{}:{}",
        back.display(),
        image.tag()
    ));
    run_ok(&mut command, target.deadline).await?;
    ensure!(image.is_in(&back)?, "the pulled layout is another image");
    Ok(())
}

fn skopeo(target: &Target) -> Result<Command> {
    let mut command = command("skopeo");
    command.arg("--policy").arg(accept_all(&target.dir)?).arg("--tmpdir").arg(target.subdir("tmp")?);
    isolate(&mut command, target)?;
    Ok(command)
}

/// Where podman and buildah keep the image; each has a store of its own.
#[derive(Debug)]
pub(crate) struct Stores {
    dir: PathBuf,
    runs: PathBuf,
    image_id: String,
}

impl Stores {
    /// Loads the image into both. Run-time state goes below `runs`, whose path has to be short: podman takes 50 bytes.
    pub(super) async fn load(dir: &Path, runs: &Path, image: &Image) -> Result<Self> {
        let this = Self {
            dir: dir.to_owned(),
            runs: runs.to_owned(),
            image_id: image.config_digest.trim_start_matches("sha256:").to_owned(),
        };
        for client in [Client::Podman, Client::Buildah] {
            let store = this.store(client);
            std::fs::create_dir_all(&store)?;
            let mut copy = command("skopeo");
            copy.arg("--policy").arg(accept_all(&store)?).env("HOME", &store).arg("copy");
            copy.arg(format!("oci:{}:{}", image.layout.display(), image.tag()));
            let (root, run) = (store.join("root"), this.runs.join(client.name()));
            copy.arg(format!("containers-storage:[vfs@{}+{}]{LOCAL_NAME}", root.display(), run.display()));
            run_ok(&mut copy, LOCAL).await?;
        }
        Ok(this)
    }

    pub(super) async fn push(&self, client: Client, target: &Target) -> Result<Attempt> {
        let digest_file = target.dir.join("digest");
        let mut command = self.program(client, &self.store(client), client.name());
        command
            .arg("push")
            .args(tls(target, "--")?)
            .arg("--digestfile")
            .arg(&digest_file)
            .arg("--signature-policy")
            .arg(accept_all(&target.dir)?)
            .arg(LOCAL_NAME)
            .arg(format!("docker://{}", target.reference()));
        isolate(&mut command, target)?;
        let ran = run(&mut command, target.deadline).await?;
        Ok(attempt(&ran, &digest_file))
    }

    /// Pulls into an empty store. The id is the digest of the configuration, which names the layer by its content; the
    /// manifest is not the one of the layout, since both programs compress anew.
    pub(super) async fn pull_back(&self, client: Client, target: &Target, digest: &str) -> Result<()> {
        let store = target.subdir("back")?;
        let run = format!("{}{}", client.name(), target.address.port());
        let mut pull = self.program(client, &store, &run);
        pull.arg("pull")
            .args(tls(target, "--")?)
            .arg("--signature-policy")
            .arg(accept_all(&target.dir)?)
            .arg(format!("docker://{}", target.reference()));
        isolate(&mut pull, target)?;
        run_ok(&mut pull, target.deadline).await?;
        let mut images = self.program(client, &store, &run);
        images.args(["images", "--no-trunc", "--digests", "--format", "{{.ID}} {{.Digest}}"]);
        isolate(&mut images, target)?;
        let listed = run_ok(&mut images, LOCAL).await?;
        let (id, manifest) = listed.split_once(' ').context("no image was pulled")?;
        same("image id", &self.image_id, id.trim_start_matches("sha256:"))?;
        same("manifest", digest, manifest.trim())
    }

    fn store(&self, client: Client) -> PathBuf {
        self.dir.join(client.name())
    }

    /// The driver `vfs` works everywhere, in containers and on any file system.
    fn program(&self, client: Client, store: &Path, run: &str) -> Command {
        let mut command = command(client.name());
        command
            .arg("--root")
            .arg(store.join("root"))
            .arg("--runroot")
            .arg(self.runs.join(run))
            .args(["--storage-driver", "vfs"]);
        command
    }
}

fn attempt(ran: &Ran, digest_file: &Path) -> Attempt {
    Attempt::of(ran, std::fs::read_to_string(digest_file).ok().map(|text| text.trim().to_owned()))
}

/// Credentials and caches of this push alone. The cache below `HOME` remembers which registry has which blob.
fn isolate(command: &mut Command, target: &Target) -> Result<()> {
    command.env("REGISTRY_AUTH_FILE", target.docker_config()?.join("config.json"));
    command.env("HOME", target.subdir("home")?).env("XDG_DATA_HOME", target.subdir("home/data")?);
    command.env("CONTAINERS_REGISTRIES_CONF", registries(&target.dir)?);
    Ok(())
}

fn tls(target: &Target, prefix: &str) -> Result<Vec<String>> {
    let Some(ca) = &target.ca else { return Ok(vec![format!("{prefix}tls-verify=false")]) };
    let dir = target.subdir("certificates")?;
    std::fs::copy(ca, dir.join("ca.crt"))?;
    Ok(vec![format!("{prefix}cert-dir"), dir.display().to_string()])
}

fn accept_all(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("policy.json");
    std::fs::write(&path, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    Ok(path)
}

/// No mirrors, no short names: whatever the machine's own file says.
fn registries(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("registries.conf");
    std::fs::write(&path, "unqualified-search-registries = []\n")?;
    Ok(path)
}
