//! Files the configuration names: read with a bound, private ones only when nobody else can read them.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Lowering;
use crate::base::secret::Secret;
use crate::config::item::At;

/// No certificate bundle or key set is as large; a device or a blob named by mistake is not read to its end.
const LARGEST: u64 = 4 << 20;

/// Room behind a file's content in which reading finds its end without growing the buffer.
const READ_END: usize = 64;

/// Bits of a mode that let somebody else read, write or enter.
const OTHERS: u32 = 0o077;
/// The bit that lets the group read.
const GROUP_READ: u32 = 0o040;

/// Bytes of a ticket key.
const TICKET_KEY: usize = 32;

impl Lowering<'_> {
    /// Where a path of the file leads.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// The content of a file that anybody may read.
    pub(super) fn public_file(&mut self, path: &At<PathBuf>) -> Option<Vec<u8>> {
        self.file(path, |_| true)
    }

    /// The content of a file that only its owner may read, wiped when dropped. Root may share it with a group: that is
    /// how Kubernetes hands a secret to a process that is not root.
    pub(super) fn private_file(&mut self, path: &At<PathBuf>) -> Option<Zeroizing<Vec<u8>>> {
        self.file(path, is_private).map(Zeroizing::new)
    }

    /// A ticket key: 32 bytes in base64, and perhaps the end of the line.
    pub(super) fn ticket_key(&mut self, path: &At<PathBuf>) -> Option<Secret> {
        let content = self.private_file(path)?;
        let bytes = STANDARD.decode(content.trim_ascii()).unwrap_or_default();
        if bytes.len() != TICKET_KEY {
            drop(Zeroizing::new(bytes));
            let file = self.resolve(&path.value);
            let what = format!("{} is not 32 bytes in base64", file.display());
            let instead = "name a file of its own, made with `tidegate keys ticket`";
            self.reporter.error(&path.place, what, instead);
            return None;
        }
        Some(Secret::new(bytes))
    }

    fn file(&mut self, path: &At<PathBuf>, may_be_used: impl Fn(&Metadata) -> bool) -> Option<Vec<u8>> {
        let file = self.resolve(&path.value);
        let (what, instead) = match read(&file, may_be_used) {
            Ok(content) => return Some(content),
            Err(ReadError::Open(error)) if error.kind() == io::ErrorKind::NotFound => {
                (format!("{} does not exist", file.display()), "create it, or correct the path".to_owned())
            }
            Err(ReadError::Open(error)) => {
                let instead = "let the user that Tidegate runs as read it".to_owned();
                (format!("{} cannot be read ({error})", file.display()), instead)
            }
            Err(ReadError::NoFile) => (format!("{} is not a file", file.display()), "name the file itself".to_owned()),
            Err(ReadError::Exposed(mode)) => {
                let what = format!("{} can be read by others (mode {mode:04o})", file.display());
                (what, format!("run `chmod 600 {}`", file.display()))
            }
            Err(ReadError::Empty) => (format!("{} is empty", file.display()), "fill it, or name another".to_owned()),
            Err(ReadError::TooLarge) => {
                let what = format!("{} is larger than {} MiB", file.display(), LARGEST >> 20);
                (what, "name the file that was meant".to_owned())
            }
        };
        self.reporter.error(&path.place, what, instead);
        None
    }
}

fn is_private(metadata: &Metadata) -> bool {
    let shared = metadata.permissions().mode() & OTHERS;
    shared == 0 || (shared == GROUP_READ && metadata.uid() == 0)
}

enum ReadError {
    Open(io::Error),
    NoFile,
    Exposed(u32),
    Empty,
    TooLarge,
}

/// Reads a file whose mode is checked on the very file that is read: a name could lead elsewhere a moment later.
fn read(path: &Path, may_be_used: impl Fn(&Metadata) -> bool) -> Result<Vec<u8>, ReadError> {
    // Opening a FIFO would wait for its writer.
    if !fs::metadata(path).map_err(ReadError::Open)?.is_file() {
        return Err(ReadError::NoFile);
    }
    let file = File::open(path).map_err(ReadError::Open)?;
    let metadata = file.metadata().map_err(ReadError::Open)?;
    if !may_be_used(&metadata) {
        return Err(ReadError::Exposed(metadata.permissions().mode() & 0o7777));
    }
    // In one piece: a buffer that grows leaves copies of what it held behind.
    let room = usize::try_from(metadata.len().min(LARGEST)).unwrap_or(0).saturating_add(READ_END);
    let mut content = Vec::with_capacity(room);
    file.take(LARGEST + 1).read_to_end(&mut content).map_err(ReadError::Open)?;
    match u64::try_from(content.len()).unwrap_or(u64::MAX) {
        0 => Err(ReadError::Empty),
        length if length > LARGEST => Err(ReadError::TooLarge),
        _ => Ok(content),
    }
}
