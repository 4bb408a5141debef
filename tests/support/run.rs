//! How a run of real parts begins: as root, since namespaces want it, and with a directory of its own.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::process::search_path;

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
