//! `tidegate demo`: what it shows, what it refuses, and that it leaves nothing behind.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{interval, timeout};

use crate::material::Folder;

/// As short as it can be: the least a token lives, and a few seconds more on the link.
const SHORT: [&str; 6] = ["--token-life", "8s", "--size", "6MiB", "--rate", "500KiB/s"];

#[test]
fn the_push_fails_straight_and_passes_through_tidegate_and_nothing_is_left() -> Result<()> {
    let folder = Folder::new()?;
    let mut demo = demo(&folder);
    let output = demo.args(SHORT).output()?;
    let told = String::from_utf8(output.stdout)?;
    let all = format!("{told}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() == Some(0), "{all}");
    for expected in ["unauthorized", "rescued by Tidegate (resign)", "the same, sha256:", "As promised"] {
        ensure!(told.contains(expected), "not told: {expected}\n{all}");
    }
    nothing_left(&folder)
}

#[tokio::test]
async fn interrupted_it_ends_its_children_and_removes_its_files() -> Result<()> {
    let folder = Folder::new()?;
    let told = folder.path("told");
    let mut child = demo(&folder).stdout(fs::File::create(&told)?).stderr(Stdio::null()).spawn()?;
    // The registry, Tidegate, and the client: then all of them are up.
    let pushing = || Ok(fs::read_to_string(&told)?.contains("1. Straight") && children(child.id())?.len() == 3);
    until("the client to push", pushing).await?;
    let children = children(child.id())?;
    ensure!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status()?.success());
    until("the end", || Ok(child.try_wait()?.is_some())).await?;
    ensure!(child.wait()?.code() == Some(2));
    // A process that has ended and that nobody has asked about has a number, and no program any more.
    let gone = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_err();
    until("the end of all children", || Ok(children.iter().all(gone))).await?;
    nothing_left(&folder)
}

#[test]
fn without_a_registry_it_says_what_to_install() -> Result<()> {
    let folder = Folder::new()?;
    let output = demo(&folder).env("PATH", "").env("TIDEGATE_PARTS", folder.path("none")).output()?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(2) && told.contains("apt install docker-registry"), "{told}");
    nothing_left(&folder)
}

#[test]
fn a_program_that_is_no_registry_is_not_started() -> Result<()> {
    let folder = Folder::new()?;
    let output = demo(&folder).args(["--registry", "/bin/true"]).output()?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(2) && told.contains("is no registry"), "{told}");
    nothing_left(&folder)
}

#[test]
fn a_push_that_does_not_outlast_its_token_is_not_tried() -> Result<()> {
    let folder = Folder::new()?;
    let output = demo(&folder).args(["--size", "5MiB"]).output()?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(2) && told.contains("does not outlast"), "{told}");
    nothing_left(&folder)
}

/// The demonstration, with its temporary files below `folder`.
fn demo(folder: &Folder) -> Command {
    let temporary = folder.path("tmp");
    let mut command = Command::from(folder.tidegate(&["demo"]));
    // What cannot be made here cannot be used there, and the run says so.
    let _told_by_the_run = fs::create_dir_all(&temporary);
    command.env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn nothing_left(folder: &Folder) -> Result<()> {
    let left: Vec<_> = fs::read_dir(folder.path("tmp"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// The processes a process has started, by the kernel's own list.
fn children(pid: u32) -> Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    list.split_whitespace().map(|pid| Ok(pid.parse()?)).collect()
}

async fn until(what: &str, mut there: impl FnMut() -> Result<bool>) -> Result<()> {
    let looking = async {
        let mut again = interval(Duration::from_millis(20));
        while !there()? {
            again.tick().await;
        }
        Ok(())
    };
    timeout(Duration::from_secs(60), looking).await.with_context(|| format!("waited too long for {what}"))?
}
