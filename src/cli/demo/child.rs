//! Child processes: none outlives the run that started it.
//!
//! Each leads a process group of its own, so that a Ctrl-C at the terminal ends this process, which then ends them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked whether a daemon is ready.
const POLL: Duration = Duration::from_millis(25);
/// Lines of a log that an error repeats.
const LAST_WORDS: usize = 12;

/// A command whose process is killed when nobody waits for it any more.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    command
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ran {
    /// It said it succeeded.
    pub(super) ok: bool,
    /// It had not ended at the deadline, and was killed.
    pub(super) overdue: bool,
    /// All it said, on both outputs.
    pub(super) words: String,
}

/// Runs a program to its end or the deadline; what it says goes to `log` and stays there.
///
/// # Cancel safety
/// Dropping the future kills the process.
pub(super) async fn run(command: &mut Command, log: &Path, deadline: Duration) -> anyhow::Result<Ran> {
    let mut child = spawn(command, log)?;
    let ended = timeout(deadline, child.wait()).await;
    let overdue = ended.is_err();
    if overdue {
        child.kill().await?;
    }
    let ok = matches!(ended, Ok(Ok(status)) if status.success());
    Ok(Ran { ok, overdue, words: read(log) })
}

/// Runs a program that has to succeed, and gives all it said.
///
/// # Cancel safety
/// As [`run`].
pub(super) async fn run_ok(command: &mut Command, log: &Path, deadline: Duration) -> anyhow::Result<String> {
    let what = command.as_std().get_program().to_string_lossy().into_owned();
    let ran = run(command, log, deadline).await?;
    if !ran.ok {
        let late = if ran.overdue { format!(" within {} s", deadline.as_secs()) } else { String::new() };
        bail!("{what} did not succeed{late}:\n{}", tail(&ran.words, LAST_WORDS));
    }
    Ok(ran.words)
}

/// A child that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; both its outputs go to `log`.
    pub(super) fn start(name: &'static str, command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        let child = spawn(command, &log)?;
        Ok(Self { name, child, log })
    }

    /// Everything it has said.
    pub(super) fn log(&self) -> String {
        read(&self.log)
    }

    /// Waits until `ready` has an answer, at most until the deadline.
    ///
    /// # Errors
    /// When it ended or took too long, with its last words.
    ///
    /// # Cancel safety
    /// Can be called again.
    pub(super) async fn ready<T>(
        &mut self,
        deadline: Duration,
        mut ready: impl AsyncFnMut(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + deadline;
        loop {
            let log = self.log();
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, tail(&log, LAST_WORDS));
            }
            if let Some(answer) = ready(&log).await {
                return Ok(answer);
            }
            if Instant::now() >= end {
                bail!("{} was not ready after {} s:\n{}", self.name, deadline.as_secs(), tail(&log, LAST_WORDS));
            }
            sleep(POLL).await;
        }
    }
}

fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Child> {
    let out = File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
    let err = out.try_clone()?;
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdout(out).stderr(err).spawn().with_context(|| format!("{program} could not be started"))
}

fn read(log: &Path) -> String {
    std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The last lines of a text.
pub(super) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
}
