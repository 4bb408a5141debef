//! The one directory of a run.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long children that were killed may take to write their last file.
const LAST_FILES: Duration = Duration::from_secs(3);

/// A directory that only its owner can look into; removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    /// Taken over by [`Scratch::keep`] or [`Scratch::remove`].
    owned: bool,
}

impl Scratch {
    /// Makes one where the system keeps temporary files.
    pub(super) fn new() -> io::Result<Self> {
        let mut random = [0; 6];
        aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("tidegate-demo-{name}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, owned: true })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is.
    pub(super) fn keep(mut self) -> PathBuf {
        self.owned = false;
        std::mem::take(&mut self.path)
    }

    /// Removes it, and whatever a dying child puts into it meanwhile.
    ///
    /// # Cancel safety
    /// Dropped half-way, what is left is removed in one go.
    pub(super) async fn remove(mut self) -> io::Result<()> {
        let end = Instant::now() + LAST_FILES;
        loop {
            match std::fs::remove_dir_all(&self.path) {
                Err(_) if Instant::now() < end => sleep(Duration::from_millis(20)).await,
                ended => {
                    self.owned = false;
                    return ended;
                }
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.owned {
            let _left_behind = std::fs::remove_dir_all(&self.path);
        }
    }
}
