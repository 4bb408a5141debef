//! Child processes that never outlive the run that started them.
//!
//! Every child leads a process group of its own and asks the kernel to be killed when this process dies, so neither a
//! panic nor a SIGKILL of the run leaves a daemon behind. The kernel ties that wish to the *thread* that spawned the child:
//! whoever uses this must run on one thread (a current-thread runtime) that lives as long as the run.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const POLL: Duration = Duration::from_millis(50);
const GRACE: Duration = Duration::from_secs(10);

/// A command that dies with us, run where the clients are.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    dying_of("KILL", program)
}

/// A command that is asked to end with us, for those that have something to put in order first.
pub(crate) fn gentle_command(program: impl AsRef<OsStr>) -> Command {
    dying_of("TERM", program)
}

fn dying_of(signal: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program).env("PATH", search_path());
    command.process_group(0).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Where programs are looked for: what `tests/parts.sh` built first, then what the machine has. Daemons live in `sbin`,
/// which is on no ordinary user's PATH.
pub(crate) fn search_path() -> OsString {
    let parts = std::env::var_os("TIDEGATE_PARTS").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache/tidegate/parts"))
    });
    let mut path: Vec<PathBuf> = parts.into_iter().map(|parts| parts.join("bin")).collect();
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    path.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    std::env::join_paths(path).unwrap_or_default()
}

/// Those of the programs that are not there.
pub(crate) fn missing<'a>(programs: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let path = search_path();
    let there = |program: &&str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    programs.into_iter().filter(|program| !there(program)).collect()
}

/// The same inside a network namespace.
pub(crate) fn command_in(namespace: Option<&str>, program: impl AsRef<OsStr>) -> Command {
    let Some(name) = namespace else { return command(program) };
    let mut command = command("nsenter");
    command.arg(format!("--net=/run/netns/{name}")).arg(program);
    command
}

/// What a finished command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ok: bool,
    /// Ended by the deadline and not by itself.
    pub(crate) hung: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Everything it said, standard output first.
    pub(crate) fn words(&self) -> String {
        format!("{}\n{}", self.stdout.trim_end(), self.stderr.trim_end()).trim().to_owned()
    }
}

/// Runs a command to its end, or ends it at the deadline: then `ok` is false and its words say so.
pub(crate) async fn run(command: &mut Command, deadline: Duration) -> Result<Ran> {
    let what = format!("{:?}", command.as_std());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| what.clone())?;
    let pid = child.id();
    match timeout(deadline, child.wait_with_output()).await {
        Ok(output) => {
            let output = output.with_context(|| what)?;
            Ok(Ran {
                ok: output.status.success(),
                hung: false,
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            })
        }
        Err(_) => {
            signal_group(pid, "KILL");
            let stderr = format!("not done after {} s", deadline.as_secs());
            Ok(Ran { ok: false, hung: true, stdout: String::new(), stderr })
        }
    }
}

/// Runs a command that has to succeed and returns its standard output, trimmed.
pub(crate) async fn run_ok(command: &mut Command, deadline: Duration) -> Result<String> {
    let what = format!("{:?}", command.as_std());
    let ran = run(command, deadline).await?;
    if !ran.ok {
        bail!("{what}\n{}", ran.words());
    }
    Ok(ran.stdout.trim().to_owned())
}

/// A long-running child whose output goes to a file.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    child: Child,
    pid: Option<u32>,
    log: PathBuf,
    /// How it is ended when dropped.
    last_signal: &'static str,
}

impl Daemon {
    /// Starts it; both outputs are appended to `log`.
    pub(crate) fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
        let err = out.try_clone()?;
        let child = command.stdout(out).stderr(err).spawn().with_context(|| format!("{name} did not start"))?;
        let pid = child.id();
        Ok(Self { name: name.to_owned(), child, pid, log: log.to_owned(), last_signal: "KILL" })
    }

    /// From now on it is asked to end and given time for it, even when dropped: killed, it would leave mounts behind.
    pub(crate) fn ends_gently(mut self) -> Self {
        self.last_signal = "TERM";
        self
    }

    /// Its process id; the programs that lead to it (`setpriv`, `nsenter`, `env`) each become the next one.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.pid.with_context(|| format!("{} has ended", self.name))
    }

    /// Sends it a signal and does not wait.
    pub(crate) fn signal(&self, signal: &str) {
        signal_group(self.pid, signal);
    }

    /// Waits for its end; the exit code, or none when a signal ended it.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> Result<Option<i32>> {
        let status = timeout(deadline, self.child.wait()).await;
        let status = status.with_context(|| format!("{} had not ended after {deadline:?}", self.name))??;
        self.pid = None;
        Ok(status.code())
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` says yes; a daemon that ended or took too long is an error with its last words.
    pub(crate) async fn wait_ready(
        &mut self,
        deadline: Duration,
        mut ready: impl AsyncFnMut(&str) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it was ready:\n{}", self.name, tail(&self.log(), 30));
            }
            if ready(&self.log()).await {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("{} was not ready after {deadline:?}:\n{}", self.name, tail(&self.log(), 30));
            }
            sleep(POLL).await;
        }
    }

    /// Asks it to end and waits; used where a clean end matters (daemons with mounts, drained proxies).
    pub(crate) async fn stop(mut self) -> Result<()> {
        signal_group(self.pid, "TERM");
        if timeout(GRACE, self.child.wait()).await.is_err() {
            signal_group(self.pid, "KILL");
            self.child.wait().await?;
        }
        self.pid = None;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        signal_group(self.pid, self.last_signal);
        let mut patience = if self.last_signal == "TERM" { 100 } else { 0 };
        // A destructor cannot wait for a future, and a thread may not sleep here: `sleep` does.
        while patience > 0 && self.pid.is_some() && matches!(self.child.try_wait(), Ok(None)) {
            patience -= 1;
            let _slept = std::process::Command::new("sleep").arg("0.1").status();
        }
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
}

/// There is no safe system call for this in our dependencies, so `kill` does it. A group that is gone is fine.
fn signal_group(pid: Option<u32>, signal: &str) {
    if let Some(pid) = pid {
        let group = format!("-{pid}");
        let _gone = std::process::Command::new("kill")
            .args(["-s", signal, "--", &group])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
