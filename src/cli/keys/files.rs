//! Files that are made once: whole or not at all, and never over another.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use zeroize::Zeroizing;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Its owner alone: 0600.
    Owner,
    /// Everybody: 0644.
    All,
}

/// The content of a file; `None` when there is none.
pub(super) fn read(path: &Path) -> anyhow::Result<Option<Zeroizing<String>>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that is not there yet. The name appears when all of it is on disk; a file that has appeared meanwhile
/// is not replaced.
pub(super) fn write(path: &Path, content: &str, reader: Reader) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    let beside = beside(path);
    let mode = if reader == Reader::Owner { 0o600 } else { 0o644 };
    // Left over from a start that was cut short: nobody waits for it.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(what),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).with_context(what)?;
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    let named = written.and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside).with_context(what)?;
    named.with_context(what)
}

/// Whether others than its owner may read a file.
pub(super) fn is_open(path: &Path) -> anyhow::Result<bool> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(metadata.permissions().mode() & 0o077 != 0)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
