//! `tidegate version`: what this program is.

use std::io::{self, Write};

use super::Exit;

/// The package's version, or what the build says in `TIDEGATE_VERSION`: version and commit, as in `0.1.0 (1a2b3c4)`.
pub(super) const VERSION: &str = match option_env!("TIDEGATE_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};

/// Prints name, version and, where the build was told it, the commit.
///
/// # Errors
/// When nobody reads them.
pub(super) fn run() -> anyhow::Result<Exit> {
    writeln!(io::stdout().lock(), "tidegate {VERSION}")?;
    Ok(Exit::Fine)
}
