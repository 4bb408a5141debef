//! containerd and its `ctr`, on a daemon of our own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{Attempt, Target, same};
use crate::support::image::{Image, sha256_of};
use crate::support::process::{Daemon, command, run, run_ok};

const START: Duration = Duration::from_secs(60);
const LOCAL: Duration = Duration::from_secs(120);
const NAME: &str = "tidegate-matrix";

/// A running containerd with the image in its namespace `push`.
#[derive(Debug)]
pub(crate) struct Containerd {
    daemon: Daemon,
    socket: PathBuf,
}

impl Containerd {
    pub(super) async fn start(dir: &Path, image: &Image) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let socket = dir.join("containerd.sock");
        let config = dir.join("config.toml");
        std::fs::write(&config, configuration(dir, &socket))?;
        let mut daemon = command("containerd");
        daemon.arg("--config").arg(&config);
        let mut daemon = Daemon::spawn("containerd", &mut daemon, &dir.join("containerd.log"))?;
        daemon.wait_ready(START, async |log| log.contains("containerd successfully booted")).await?;
        let this = Self { daemon, socket };
        let mut import = this.ctr("push");
        import.args(["images", "import", "--no-unpack", "--base-name", NAME]).arg(&image.archive);
        run_ok(&mut import, LOCAL).await?;
        Ok(this)
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.daemon.stop().await
    }

    pub(super) async fn push(&self, target: &Target, image: &Image) -> Result<Attempt> {
        let mut command = self.ctr("push");
        command
            .args(["images", "push"])
            .args(line(target)?)
            .arg(target.reference())
            .arg(format!("{NAME}:{}", image.tag()));
        let ran = run(&mut command, target.deadline).await?;
        Ok(Attempt::of(&ran, Some(image.manifest_digest.clone())))
    }

    /// Fetches into a namespace of the target's own, whose content the configuration keeps apart: with containerd's usual
    /// sharing the blobs would be found in the store and nothing would be fetched.
    pub(super) async fn pull_back(&self, target: &Target, image: &Image) -> Result<()> {
        let space = format!("back-{}", target.address.port());
        let mut fetch = self.ctr(&space);
        fetch.args(["content", "fetch"]).args(line(target)?).arg(target.reference());
        run_ok(&mut fetch, target.deadline).await?;
        let listed = run_ok(self.ctr(&space).args(["images", "ls"]), LOCAL).await?;
        let named = listed.lines().find(|line| line.starts_with(&target.reference())).unwrap_or_default();
        same("manifest", &image.manifest_digest, named.split_whitespace().nth(2).unwrap_or_default())?;
        let layer = target.dir.join("pulled-layer");
        let mut get = self.ctr(&space);
        get.args(["content", "get", &image.layer_digest]);
        let file = std::fs::File::create(&layer)?;
        let status = get.stdout(file).stderr(Stdio::null()).spawn()?.wait().await?;
        anyhow::ensure!(status.success(), "the layer was not fetched");
        same("layer", &image.layer_digest, &sha256_of(&layer)?)?;
        std::fs::remove_file(layer).context("the pulled layer")
    }

    fn ctr(&self, namespace: &str) -> Command {
        let mut command = command("ctr");
        command.arg("--address").arg(&self.socket).args(["--namespace", namespace]);
        command
    }
}

/// How `ctr` is told about the line and the login. It takes any address of this machine for plain HTTP, whatever flags say
/// about certificates; only a hosts file convinces it otherwise.
fn line(target: &Target) -> Result<Vec<String>> {
    let mut arguments = vec!["--user".to_owned(), format!("{}:{}", target.user, target.password)];
    let Some(ca) = &target.ca else {
        arguments.push("--plain-http".to_owned());
        return Ok(arguments);
    };
    let hosts = target.subdir("hosts")?;
    let server = format!("https://{}", target.address);
    let host = format!("server = \"{server}\"\n[host.\"{server}\"]\nca = \"{}\"\n", ca.display());
    std::fs::write(target.subdir(&format!("hosts/{}", target.address))?.join("hosts.toml"), host)?;
    arguments.extend(["--hosts-dir".to_owned(), hosts.display().to_string()]);
    Ok(arguments)
}

fn configuration(dir: &Path, socket: &Path) -> String {
    let dir = dir.display();
    format!(
        "version = 2
root = \"{dir}/root\"
state = \"{dir}/state\"
disabled_plugins = [\"io.containerd.grpc.v1.cri\"]
[grpc]
address = \"{socket}\"
[ttrpc]
address = \"{socket}.ttrpc\"
[plugins.\"io.containerd.metadata.v1.bolt\"]
content_sharing_policy = \"isolated\"
",
        socket = socket.display(),
    )
}
