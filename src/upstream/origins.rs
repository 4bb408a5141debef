//! Which origin a request goes to: the one its upload belongs to, else the less busy of two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use http::Uri;

use crate::upload::ticket::OriginId;

/// One address of a registry, as all cores see it.
#[derive(Debug)]
pub struct Origin {
    /// `scheme://host[:port]`
    pub url: Uri,
    /// As it stands in tickets.
    pub id: OriginId,
    /// As it stands in logs and metrics: `host[:port]`.
    pub name: Arc<str>,
    running: AtomicUsize,
    down: AtomicBool,
}

/// The origins of one registry; shared by all cores.
#[derive(Debug)]
pub struct Origins {
    all: Vec<Arc<Origin>>,
    turn: AtomicU64,
}

/// A request on its way to an origin; dropping it ends the count.
#[derive(Debug)]
pub struct Running(Arc<Origin>);

impl Origins {
    /// These origins, none known to be down.
    #[must_use]
    pub fn new(urls: &[Uri]) -> Self {
        let origin = |url: &Uri| {
            let authority = url.authority().map_or("", http::uri::Authority::as_str);
            let id = OriginId::of(&format!("{}://{authority}", url.scheme_str().unwrap_or("http")));
            let name = Arc::from(authority);
            Arc::new(Origin { url: url.clone(), id, name, running: AtomicUsize::new(0), down: AtomicBool::new(false) })
        };
        Self { all: urls.iter().map(origin).collect(), turn: AtomicU64::new(0) }
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a registry has at least one")]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Origin>> {
        self.all.iter()
    }

    /// The origin of a ticket, if it still is one of these.
    #[must_use]
    pub fn find(&self, id: OriginId) -> Option<&Arc<Origin>> {
        self.all.iter().find(|origin| origin.id == id)
    }

    /// The less busy of two neighbours in turn, those that did not answer last time only when no other is left;
    /// never one of `tried`.
    #[must_use]
    pub fn pick(&self, tried: &[OriginId]) -> Option<&Arc<Origin>> {
        let fresh = |origin: &&Arc<Origin>| !tried.contains(&origin.id);
        let up: Vec<_> = self.all.iter().filter(fresh).filter(|origin| !origin.down.load(Ordering::Relaxed)).collect();
        let candidates = if up.is_empty() { self.all.iter().filter(fresh).collect() } else { up };
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).unwrap_or(0);
        let at = |offset: usize| candidates.get(turn.wrapping_add(offset) % candidates.len().max(1)).copied();
        match (at(0), at(1)) {
            (Some(one), Some(other)) if other.load() < one.load() => Some(other),
            (one, _) => one,
        }
    }
}

impl Origin {
    /// Counts a request that is sent to it now.
    #[must_use]
    pub fn start(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// Notes whether it answered; true when that is news.
    pub fn answered(&self, answered: bool) -> bool {
        self.down.swap(!answered, Ordering::Relaxed) == answered
    }

    /// Whether it answered last time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }

    fn load(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
