//! One fault from its first daemon to its verdict: what was seen, and every sentence that did not hold.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, timeout};

use crate::support::canaries::Canaries;
use crate::support::image::Image;
use crate::support::keys::Keys;
use crate::support::yard::Yard;
use crate::table::Fault;

/// No fault takes longer; one that does hangs, and the others are still to run.
const MOST: Duration = Duration::from_secs(240);

/// What all cases share.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) dir: PathBuf,
    pub(crate) tidegate: PathBuf,
    pub(crate) yard: Yard,
    pub(crate) keys: Keys,
    pub(crate) image: Image,
    /// Crowds at their full size.
    pub(crate) full: bool,
}

/// A fault while it runs.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) ground: Rc<Ground>,
    pub(crate) dir: PathBuf,
    /// Keeps the ports of cases apart.
    pub(crate) number: u16,
    /// How many scenes it has had.
    pub(crate) scenes: u16,
    pub(crate) canaries: Canaries,
    /// Upload states: the registry's own, which it may write down itself.
    pub(crate) states: Canaries,
    saw: Vec<String>,
    stored: Vec<String>,
    back: Vec<String>,
    wrong: Vec<String>,
}

/// What became of a fault.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fault: &'static Fault,
    pub(crate) saw: Vec<String>,
    pub(crate) stored: Vec<String>,
    pub(crate) back: Vec<String>,
    pub(crate) wrong: Vec<String>,
    pub(crate) took: Duration,
}

/// What runs a fault.
pub(crate) type Course = for<'a> fn(&'a mut Case) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

impl Case {
    /// Runs `fault` to its end; a case that could not be carried out is wrong.
    pub(crate) async fn run(ground: Rc<Ground>, fault: &'static Fault) -> Row {
        let begun = Instant::now();
        let position = crate::table::FAULTS.iter().position(|one| one.name == fault.name).unwrap_or_default();
        let mut case = Self {
            dir: ground.dir.join(format!("{:02}-{}", fault.number, fault.name)),
            number: u16::try_from(position).unwrap_or_default(),
            scenes: 0,
            ground,
            canaries: Canaries::default(),
            states: Canaries::default(),
            saw: Vec::new(),
            stored: Vec::new(),
            back: Vec::new(),
            wrong: Vec::new(),
        };
        match timeout(MOST, (fault.run)(&mut case)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => case.wrong.push(format!("was not carried out: {error:#}")),
            Err(_) => case.wrong.push(format!("was not over after {} s", MOST.as_secs())),
        }
        let Self { saw, stored, back, wrong, .. } = case;
        Row { fault, saw, stored, back, wrong, took: begun.elapsed() }
    }

    /// A directory for the next scene.
    pub(crate) fn subdir(&mut self) -> Result<PathBuf> {
        let dir = self.dir.join(self.scenes.to_string());
        self.scenes += 1;
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A port for `what` (below ten) of the scene with this number; no two scenes share one.
    pub(crate) fn port(&self, scene: u16, what: u16) -> u16 {
        10_000 + self.number * 200 + scene * 10 + what
    }

    /// Notes what a client saw.
    pub(crate) fn saw(&mut self, what: impl Into<String>) {
        self.saw.push(what.into());
    }

    /// Notes what a registry holds.
    pub(crate) fn stored(&mut self, what: impl Into<String>) {
        self.stored.push(what.into());
    }

    /// Notes what came back.
    pub(crate) fn back(&mut self, what: impl Into<String>) {
        self.back.push(what.into());
    }

    /// What has to be true.
    pub(crate) fn must(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.wrong.push(what.into());
        }
    }
}

/// `name` in `dir` with this text.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}
