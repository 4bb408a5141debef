//! How a run of real parts begins: as root, since namespaces want it, and with a directory of its own.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::process::search_path;

/// What a run was asked for on the command line.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// Everything, not only what `cargo test` covers.
    pub(crate) full: bool,
    pub(crate) list: bool,
    /// Leave the files.
    pub(crate) keep: bool,
    /// Where the page goes.
    pub(crate) write: Option<PathBuf>,
    pub(crate) at_once: Option<usize>,
    /// Parts of the names of what to run.
    pub(crate) filters: Vec<String>,
}

impl Flags {
    /// Understands these, those that `own` takes (it is given the flag and what follows it), and of cargo's test harness
    /// those that other tools pass to every test program.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
        mut own: impl FnMut(&str, &mut dyn Iterator<Item = String>) -> Result<bool>,
    ) -> Result<Self> {
        let mut flags = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--full" => flags.full = true,
                "--keep" => flags.keep = true,
                "--list" => flags.list = true,
                "--write" => flags.write = Some(arguments.next().context("--write FILE")?.into()),
                "--at-once" => flags.at_once = Some(arguments.next().context("--at-once N")?.parse()?),
                "--nocapture" | "--quiet" | "-q" | "--exact" | "--include-ignored" => {}
                flag if flag.starts_with("--test-threads") || flag.starts_with("--format") => {}
                flag if flag.starts_with('-') => {
                    if !own(flag, &mut arguments)? {
                        bail!("{flag} is not known here");
                    }
                }
                name => flags.filters.push(name.to_owned()),
            }
        }
        Ok(flags)
    }
}

/// The run's files: gone with it, or left for whoever wants to look.
pub(crate) enum Files {
    Gone(tempfile::TempDir),
    Kept(PathBuf),
}

impl Files {
    /// Makes the directory.
    pub(crate) fn make(keep: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tidegate-").tempdir()?;
        Ok(if keep { Self::Kept(dir.keep()) } else { Self::Gone(dir) })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Gone(dir) => dir.path(),
            Self::Kept(path) => path,
        }
    }
}

/// Who may become root without a password does, and starts over as it; everyone else is told what it is wanted for.
pub(crate) fn become_root(wanted_for: &str) -> Result<()> {
    let id = Command::new("id").arg("-u").output().context("id")?;
    if id.stdout.trim_ascii() == b"0" {
        return Ok(());
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "env"]);
    sudo.arg(format!("PATH={}", search_path().display()));
    for name in ["HOME", "TIDEGATE_PARTS"] {
        if let Some(value) = std::env::var_os(name) {
            sudo.arg(format!("{name}={}", value.display()));
        }
    }
    let failed = sudo.args(std::env::args_os()).exec();
    bail!("this needs root for {wanted_for}, and sudo did not help: {failed}")
}
