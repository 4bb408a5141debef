//! One asking, many waiting: requests for the same thing share a single fetch.
//!
//! The fetch is a task of its own, on the runtime that was handed in: the first to ask may hang up, or sit on a busy
//! core, without failing or delaying those who wait with it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::key::Key;

/// How a caller came by the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It started the fetch.
    Led,
    /// It waited for one that was running.
    Followed,
}

/// The running fetches. Bounded by those who wait: an entry goes when its fetch ends, and each fetch has a deadline.
#[derive(Debug)]
pub struct Flights<V> {
    running: Arc<Running<V>>,
    handle: Handle,
}

type Running<V> = Mutex<HashMap<Key, watch::Receiver<Option<V>>>>;

impl<V: Clone + Send + Sync + 'static> Flights<V> {
    /// Fetches run on `handle`.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { running: Arc::default(), handle }
    }

    /// Waits for the running fetch of `key`, or starts `fetch` and waits for that. `None` when the fetch died: its
    /// runtime is shutting down, or it panicked.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the wait, never the fetch.
    pub async fn join<F>(&self, key: Key, fetch: impl FnOnce() -> F) -> (Option<V>, Part)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (mut waiting, part) = self.board(key, fetch);
        let value = waiting.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        (value, part)
    }

    fn board<F>(&self, key: Key, fetch: impl FnOnce() -> F) -> (watch::Receiver<Option<V>>, Part)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = lock(&self.running);
        if let Some(waiting) = running.get(&key) {
            return (waiting.clone(), Part::Followed);
        }
        let (announce, waiting) = watch::channel(None);
        running.insert(key, waiting.clone());
        drop(running);
        let landing = Landing { running: Arc::clone(&self.running), key };
        let fetch = fetch();
        self.handle.spawn(async move {
            let value = fetch.await;
            // Nobody may join a fetch that has ended: whoever comes now looks at the cache first, or asks anew.
            drop(landing);
            announce.send_replace(Some(value));
        });
        (waiting, Part::Led)
    }
}

/// Takes the entry out when the fetch ends, also when it panics or its runtime goes.
struct Landing<V> {
    running: Arc<Running<V>>,
    key: Key,
}

impl<V> Drop for Landing<V> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

fn lock<V>(running: &Running<V>) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<V>>>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
