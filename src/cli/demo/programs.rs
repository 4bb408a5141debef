//! The programs that have to be there: a registry and a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use tokio::time::timeout;

use super::child::command;

/// The names a registry goes by, in the order in which they are looked for.
const REGISTRIES: [&str; 2] = ["registry", "docker-registry"];
/// For a program to say what it is.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// A registry to start.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) path: PathBuf,
    /// As it calls itself: `docker-registry 2.8.2`.
    pub(super) name: String,
}

/// Who can push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// skopeo copy
    Skopeo,
    /// crane push
    Crane,
    /// docker push, with the engine the docker command finds
    Docker,
}

/// A client to push with.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    /// As it calls itself: `skopeo 1.9.3`.
    pub(super) name: String,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Skopeo => "skopeo",
            Self::Crane => "crane",
            Self::Docker => "docker",
        }
    }

    fn introduction(self) -> &'static str {
        match self {
            Self::Skopeo | Self::Docker => "--version",
            Self::Crane => "version",
        }
    }
}

/// The registry at `path`, else the first that is found.
///
/// # Errors
/// When there is none, with what to install.
///
/// # Cancel safety
/// Nothing is lost.
pub(super) async fn registry(path: Option<&Path>) -> anyhow::Result<Registry> {
    if let Some(path) = path {
        let introduced = introduced(path, "--version").await?;
        let name = registry_name(path, &introduced);
        return name.map(|name| Registry { path: path.to_owned(), name }).with_context(|| {
            format!("{} is no registry of the distribution project: it calls itself {introduced:?}", path.display())
        });
    }
    for path in REGISTRIES.iter().flat_map(|name| found(name)) {
        // Other programs are called `registry` too.
        let Ok(introduced) = introduced(&path, "--version").await else { continue };
        if let Some(name) = registry_name(&path, &introduced) {
            return Ok(Registry { path, name });
        }
    }
    bail!(
        "there is no registry to show it with: neither `registry` nor `docker-registry` is on PATH or in {}\n  \
         Install one: `apt install docker-registry`, or `go install \
         github.com/distribution/distribution/v3/cmd/registry@v3.1.2`\n  Or say where it is: --registry PATH",
        parts().map_or_else(|| "the parts' directory".to_owned(), |parts| parts.display().to_string())
    )
}

/// The chosen client, else the first that is found.
///
/// # Errors
/// When there is none, with what to install.
///
/// # Cancel safety
/// Nothing is lost.
pub(super) async fn client(chosen: Option<Kind>) -> anyhow::Result<Program> {
    let wanted = chosen.map_or_else(|| Kind::value_variants().to_vec(), |kind| vec![kind]);
    for kind in wanted {
        if let Some(path) = found(kind.as_str()).into_iter().next() {
            let said = introduced(&path, kind.introduction()).await?;
            let version = said.split([' ', ',']).find(|word| word.trim_start_matches('v').starts_with(digit));
            let version = version.unwrap_or_default().trim_start_matches('v');
            return Ok(Program { kind, path, name: format!("{} {version}", kind.as_str()).trim_end().to_owned() });
        }
    }
    let wanted = chosen.map_or("skopeo, crane or docker", Kind::as_str);
    bail!(
        "there is no client to push with: {wanted} is not on PATH\n  Install one: `apt install skopeo`, or `go install \
         github.com/google/go-containerregistry/cmd/crane@v0.22.1`"
    )
}

/// `registry github.com/docker/distribution v2.8.3+unknown`, and Debian's and 3.x's like it.
fn registry_name(path: &Path, introduced: &str) -> Option<String> {
    let mut words = introduced.split_ascii_whitespace().skip(1);
    let (project, version) = (words.next()?, words.next()?);
    let known = project.starts_with("github.com/") && project.contains("/distribution");
    let version = version.trim_start_matches('v').split('+').next().unwrap_or_default();
    known.then(|| format!("{} {version}", path.file_name().unwrap_or_default().to_string_lossy()))
}

fn digit(character: char) -> bool {
    character.is_ascii_digit()
}

/// The first line a program says about itself.
async fn introduced(path: &Path, how: &str) -> anyhow::Result<String> {
    let mut command = command(path);
    let said = timeout(INTRODUCTION, command.arg(how).output()).await;
    let said = said.ok().context("no answer");
    let said = said.and_then(|said| said.map_err(Into::into)).with_context(|| format!("{} {how}", path.display()))?;
    ensure!(said.status.success(), "{} {how}: {}", path.display(), said.status);
    Ok(String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().trim().to_owned())
}

/// All programs of this name: PATH first, then where `make parts` puts them, then where daemons are on Debian.
fn found(name: &str) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(parts()).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    let programs = dirs.map(|dir| dir.join(name));
    programs
        .filter(|path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0))
        .collect()
}

fn parts() -> Option<PathBuf> {
    let own = std::env::var_os("TIDEGATE_PARTS").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/tidegate/parts"));
    own.or_else(usual).map(|parts| parts.join("bin"))
}

#[cfg(test)]
mod tests;
