//! The configuration file, read once into every module's settings.
//!
//! ```text
//! text ─ toml ─▶ spanned tree ─ section, spec, value ─▶ File ─ lower ─▶ Settings
//!                     └──────────── problem: every mistake, with its line ┘
//! file + defaults ─ reference ─▶ config/tidegate.toml, docs/configuration.md
//! ```
//!
//! Only this module knows files and their spelling; the others own plain settings that are already valid. It must never
//! stop at the first mistake, and never repeat what stands in a key file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use toml::de::DeTable;

use crate::base::clock::Timestamp;

pub mod problem;
mod words;
mod item;
#[macro_use]
mod section;
mod spec;
mod value;
mod defaults;
mod file;
mod inline;
mod lower;
pub mod reference;

use problem::{Place, Problems, Reporter};

/// No configuration is as large: it is not read further.
const LARGEST: u64 = 1 << 20;

/// A whole configuration, valid.
#[derive(Debug)]
pub struct Settings {
    /// `[listeners.public]`, `[limits]`, `[timeouts]`, `[drain]`
    pub server: crate::server::Settings,
    /// `[listeners.public] trusted_proxies`
    pub trusted_proxies: Vec<IpNet>,
    /// `[listeners.admin]`
    pub admin: Option<crate::admin::Settings>,
    /// `[authorities.*]`
    pub authorities: BTreeMap<String, crate::authority::gitlab::Settings>,
    /// `[sites."*"]`, in the order of the file.
    pub sites: Vec<crate::gateway::SiteSettings>,
    /// `[signing]`
    pub signing: Option<crate::token::minter::Minter>,
    /// `[tokens]`
    pub tokens: crate::issuance::Settings,
    /// `[tickets] keys`, 32 bytes each; empty: made at start.
    pub ticket_keys: Vec<crate::base::secret::Secret>,
    /// `[push]`
    pub push: crate::policy::PushSettings,
    /// `[log]`
    pub log: crate::telemetry::log::Settings,
    /// What is seldom meant; to be said once at start.
    pub warnings: Problems,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file itself could not be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file, as it was named.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It was read, and some of it is wrong.
    #[error("{0}")]
    Wrong(Problems),
}

/// Reads the file at `path` and all files it names. `now` is compared with the dates of certificates.
///
/// # Errors
/// [`Error::Unreadable`] when `path` itself cannot be read, else [`Error::Wrong`] with every mistake that was found.
pub fn load(path: &Path, now: Timestamp) -> Result<Settings, Error> {
    let text = content(path).map_err(|source| Error::Unreadable { file: path.to_owned(), source })?;
    read(path, &text, now)
}

/// Reads `text` as what stands in the file at `path`, and all files it names.
///
/// # Errors
/// [`Error::Wrong`] with every mistake that was found.
pub fn read(path: &Path, text: &str, now: Timestamp) -> Result<Settings, Error> {
    let mut reporter = Reporter::new(path, text);
    let (tree, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        reporter.syntax(error);
    }
    let place = Place { key: String::new(), span: 0..0 };
    let file: file::File = section::read_section(place, tree.get_ref(), &mut reporter);
    // What could not be read may be what the rest refers to: files are looked at once it is TOML.
    if !syntax.is_empty() {
        return Err(Error::Wrong(reporter.finish()));
    }
    let base = path.parent().unwrap_or(Path::new(""));
    lower::lower(&file, base, now, reporter).map_err(Error::Wrong)
}

fn content(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than allowed, so that a part is never taken for the whole.
    let length = std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    match u64::try_from(length) {
        Ok(length) if length <= LARGEST => Ok(text),
        _ => Err(std::io::Error::other("it is larger than 1 MiB")),
    }
}
