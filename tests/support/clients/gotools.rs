//! crane, oras and regctl: programs without a daemon and without a store.

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::process::Command;

use super::{Attempt, Target, digest_in, same};
use crate::support::image::{Image, sha256_of};
use crate::support::process::{command, run, run_ok};

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub(crate) async fn crane_push(image: &Image, target: &Target) -> Result<Attempt> {
    let mut command = crane(target)?;
    command.arg("push").arg(&image.layout).arg(target.reference());
    let ran = run(&mut command, target.deadline).await?;
    let digest = digest_in(&ran.stdout);
    Ok(Attempt::of(&ran, digest))
}

pub(crate) async fn crane_pull_back(image: &Image, target: &Target) -> Result<()> {
    let back = target.dir.join("back");
    let mut command = crane(target)?;
    command.args(["pull", "--format", "oci"]).arg(target.reference()).arg(&back);
    run_ok(&mut command, target.deadline).await?;
    ensure!(image.is_in(&back)?, "the pulled layout is another image");
    Ok(())
}

/// crane takes plain HTTP for addresses of this machine only when told that anything goes.
fn crane(target: &Target) -> Result<Command> {
    let mut command = command("crane");
    isolate(&mut command, target)?;
    if target.ca.is_none() {
        command.arg("--insecure");
    }
    Ok(command)
}

/// oras pushes a file, not an image: the layer, under a manifest of its own.
pub(super) async fn oras_push(image: &Image, target: &Target) -> Result<Attempt> {
    let mut command = oras(target, "push")?;
    let name = image.layer.file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.arg(target.reference()).arg(format!("{name}:{LAYER_TYPE}"));
    // It keeps the path a file was named by, and so wants it relative.
    command.current_dir(image.layer.parent().unwrap_or(&image.layout));
    let ran = run(&mut command, target.deadline).await?;
    let digest = ran.stdout.rsplit_once("Digest: ").and_then(|(_, rest)| digest_in(rest));
    Ok(Attempt::of(&ran, digest))
}

pub(super) async fn oras_pull_back(image: &Image, target: &Target, digest: &str) -> Result<()> {
    let back = target.subdir("back")?;
    let mut command = oras(target, "pull")?;
    let said = run_ok(command.arg("--output").arg(&back).arg(target.reference()), target.deadline).await?;
    let pulled = said.rsplit_once("Digest: ").and_then(|(_, rest)| digest_in(rest));
    same("manifest", digest, &pulled.unwrap_or_default())?;
    let file = back.join(image.layer.file_name().unwrap_or_default());
    same("layer", &image.layer_digest, &sha256_of(&file)?)
}

fn oras(target: &Target, verb: &str) -> Result<Command> {
    let mut command = command("oras");
    isolate(&mut command, target)?;
    command.arg(verb).arg("--no-tty");
    match &target.ca {
        Some(ca) => command.arg("--ca-file").arg(ca),
        None => command.arg("--plain-http"),
    };
    Ok(command)
}

pub(super) async fn regctl_push(image: &Image, target: &Target) -> Result<Attempt> {
    let mut command = regctl(target)?;
    command
        .args(["image", "copy"])
        .arg(format!("ocidir://{}:{}", image.layout.display(), image.tag()))
        .arg(target.reference());
    let ran = run(&mut command, target.deadline).await?;
    Ok(Attempt::of(&ran, Some(image.manifest_digest.clone())))
}

pub(super) async fn regctl_pull_back(image: &Image, target: &Target) -> Result<()> {
    let back = target.dir.join("back");
    let mut command = regctl(target)?;
    command.args(["image", "copy"]).arg(target.reference()).arg(format!("ocidir://{}:{}", back.display(), image.tag()));
    run_ok(&mut command, target.deadline).await?;
    ensure!(image.is_in(&back)?, "the pulled layout is another image");
    Ok(())
}

fn regctl(target: &Target) -> Result<Command> {
    let mut host = json!({ "user": target.user, "pass": target.password, "hostname": target.address.to_string() });
    let tls = match &target.ca {
        Some(ca) => json!({ "tls": "enabled", "regcert": std::fs::read_to_string(ca)? }),
        None => json!({ "tls": "disabled" }),
    };
    if let (Some(host), Some(tls)) = (host.as_object_mut(), tls.as_object()) {
        host.extend(tls.clone());
    }
    let config = target.dir.join("regctl.json");
    std::fs::write(&config, json!({ "version": 1, "hosts": { target.address.to_string(): host } }).to_string())?;
    let mut command = command("regctl");
    isolate(&mut command, target)?;
    command.env("REGCTL_CONFIG", config);
    Ok(command)
}

/// Go's TLS takes its roots from where this variable says; the docker configuration holds the login.
fn isolate(command: &mut Command, target: &Target) -> Result<()> {
    command.env("DOCKER_CONFIG", target.docker_config()?).env("HOME", target.subdir("home")?);
    if let Some(ca) = &target.ca {
        command.env("SSL_CERT_FILE", ca);
    }
    Ok(())
}
