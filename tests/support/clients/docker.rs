//! The docker engine: a daemon of our own and the command line on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{Attempt, Target, digest_in, same};
use crate::support::image::write_tar;
use crate::support::process::{Daemon, command, gentle_command, run, run_ok};

const START: Duration = Duration::from_secs(60);
const LOCAL: Duration = Duration::from_secs(120);

/// A running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    daemon: Daemon,
    socket: PathBuf,
    dir: PathBuf,
    mib: usize,
}

impl Engine {
    pub(super) async fn start(dir: &Path, mib: usize) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let socket = dir.join("docker.sock");
        let mut daemon = gentle_command("dockerd");
        daemon
            .arg("--config-file")
            .arg(write_empty_config(dir)?)
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("docker.pid"))
            .arg("-H")
            .arg(format!("unix://{}", socket.display()))
            .args(["--bridge=none", "--iptables=false", "--insecure-registry", "127.0.0.0/8"])
            // All combinations push through this one engine; its default of five uploads at once would queue them, and a
            // queued push ages its token without a byte on the line.
            .args(["--max-concurrent-uploads", "100", "--max-concurrent-downloads", "100"]);
        let mut daemon = Daemon::spawn("dockerd", &mut daemon, &dir.join("dockerd.log"))?.ends_gently();
        daemon.wait_ready(START, async |log| log.contains("API listen on")).await?;
        Ok(Self { daemon, socket, dir: dir.to_owned(), mib })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.daemon.stop().await
    }

    /// Gives the push an image of its own. Layers that another push has brought, or that are still here after the image is
    /// gone because another image holds them, would not be uploaded or pulled again.
    pub(super) async fn prepare(&self, target: &Target) -> Result<()> {
        let tar = target.dir.join("docker.tar");
        write_tar(&target.dir, &tar, self.mib).await?;
        run_ok(self.cli(target)?.arg("import").arg(&tar).arg(target.reference()), LOCAL).await?;
        Ok(std::fs::remove_file(tar)?)
    }

    pub(super) async fn push(&self, target: &Target) -> Result<Attempt> {
        let ran = run(self.cli(target)?.arg("push").arg(target.reference()), target.deadline).await?;
        // «v1: digest: sha256:… size: 529» comes last; layers are named by shortened ids.
        let digest = ran.stdout.rsplit_once("digest: ").and_then(|(_, rest)| digest_in(rest));
        Ok(Attempt::of(&ran, digest))
    }

    /// The image's id is the digest of its configuration, which names every layer by the digest of its content; the engine
    /// checks both while it pulls.
    pub(super) async fn pull_back(&self, target: &Target, digest: &str) -> Result<()> {
        let pushed = self.inspect(target, "{{.Id}}").await?;
        run_ok(self.cli(target)?.arg("rmi").arg(target.reference()), LOCAL).await?;
        run_ok(self.cli(target)?.arg("pull").arg(target.reference()), target.deadline).await?;
        same("image id", &pushed, &self.inspect(target, "{{.Id}}").await?)?;
        let repo_digests = self.inspect(target, "{{json .RepoDigests}}").await?;
        same("manifest", digest, &digest_in(&repo_digests).unwrap_or_default())?;
        run_ok(self.cli(target)?.arg("rmi").arg(target.reference()), LOCAL).await?;
        Ok(())
    }

    async fn inspect(&self, target: &Target, format: &str) -> Result<String> {
        let mut command = self.cli(target)?;
        command.args(["image", "inspect", "--format", format]).arg(target.reference());
        run_ok(&mut command, LOCAL).await.context("the image is not here")
    }

    fn cli(&self, target: &Target) -> Result<Command> {
        let mut command = command("docker");
        command
            .env("DOCKER_CONFIG", target.docker_config()?)
            .env("HOME", &self.dir)
            .arg("-H")
            .arg(format!("unix://{}", self.socket.display()));
        Ok(command)
    }
}

/// So that a machine's own `/etc/docker/daemon.json` plays no part.
fn write_empty_config(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("daemon.json");
    std::fs::write(&path, "{}")?;
    Ok(path)
}
