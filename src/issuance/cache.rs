//! Tokens that may be handed out again, and denials that are seconds old.
//!
//! moka bounds the memory; whether an entry still counts is decided at every reading, by the wall clock that tokens
//! are compared with and by the monotonic one, so that neither a jump of the clock nor a slept-through hour hands out
//! a dead token. An entry stays until its token's `exp`: too short a life to hand out is still better than nothing
//! when the authority cannot be asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use tokio::time::Instant;

use super::key::Key;
use crate::authority::answer::Refusal;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::telemetry::labels::Limit;
use crate::telemetry::metrics::Metrics;

/// What an entry counts beside its text: keys, map slots, bookkeeping.
const OVERHEAD: usize = 512;

/// A token that was obtained, with what is needed to hand it out.
#[derive(Clone, Debug)]
pub struct Held {
    /// The answer's JSON as it came.
    pub body: Secret,
    /// `expires_in` as the authority gave it, in seconds.
    pub expires_in: Option<u64>,
    /// `exp`
    pub expires: Timestamp,
    /// When it came.
    pub obtained: Instant,
    /// What it had left when it came.
    pub life: Duration,
    /// `sub`
    pub subject: Option<String>,
    /// `auth_type`
    pub auth_type: Option<String>,
}

impl Held {
    /// Whole seconds left of the token's life, by the less generous of the two clocks; leeway not counted.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> u64 {
        let monotonic = self.life.as_secs().saturating_sub(self.obtained.elapsed().as_secs());
        self.expires.until(now).as_secs().min(monotonic)
    }
}

/// What is remembered for a request.
#[derive(Clone, Debug)]
pub enum Remembered {
    /// A living token.
    Token(Arc<Held>),
    /// A 401 or 403, word for word.
    Denial(Arc<Refusal>),
}

/// The cache of one authority.
#[derive(Debug)]
pub struct TokenCache {
    entries: Cache<Key, Entry>,
    /// Which entries a credential has, so that they go together when it is refused.
    by_credential: Arc<Index>,
    negative_ttl: Duration,
    numbers: AtomicU64,
}

#[derive(Clone, Debug)]
struct Entry {
    what: Remembered,
    /// For a denial: until when it counts.
    until: Timestamp,
    /// For a denial: when it came.
    since: Instant,
    /// How long moka keeps it.
    keep: Duration,
    /// Whose it is; none: anybody's.
    credential: Option<Key>,
    /// Tells this entry from an earlier or later one under the same key.
    number: u64,
}

/// Credential → its entries' keys and numbers.
type Index = Mutex<HashMap<Key, HashMap<Key, u64>>>;

impl TokenCache {
    /// At most `bytes` of entries; denials count for `negative_ttl`, zero: not at all.
    #[must_use]
    pub fn new(bytes: u64, negative_ttl: Duration, metrics: Arc<Metrics>) -> Self {
        let by_credential = Arc::<Index>::default();
        let index = Arc::clone(&by_credential);
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, entry: &Entry| u32::try_from(entry.weight()).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Keep)
            .eviction_listener(move |key: Arc<Key>, entry: Entry, cause| {
                if cause == RemovalCause::Size {
                    metrics.limit_hit(Limit::TokenCache);
                }
                unlist(&index, *key, &entry);
            })
            .build();
        Self { entries, by_credential, negative_ttl, numbers: AtomicU64::new(0) }
    }

    /// What is remembered under `key` and still counts: a token with any life left, or a denial.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn get(&self, key: Key, now: Timestamp) -> Option<Remembered> {
        let entry = self.entries.get(&key).await?;
        let counts = match &entry.what {
            Remembered::Token(held) => held.remaining(now) > 0,
            Remembered::Denial(_) => now < entry.until && entry.since.elapsed() < self.negative_ttl,
        };
        counts.then_some(entry.what)
    }

    /// Remembers a token for `key`, until its end.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not be remembered.
    pub async fn hold(&self, key: Key, credential: Option<Key>, held: Arc<Held>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        if let Some(credential) = credential {
            lock(&self.by_credential).entry(credential).or_default().insert(key, number);
        }
        let (until, keep) = (held.expires, held.life);
        let what = Remembered::Token(held);
        self.entries.insert(key, Entry { what, until, since: Instant::now(), keep, credential, number }).await;
    }

    /// Remembers a denial for `key`, in place of whatever was there.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not be remembered.
    pub async fn deny(&self, key: Key, refusal: Arc<Refusal>, now: Timestamp) {
        let (until, keep) = (now.plus(self.negative_ttl), self.negative_ttl);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let what = Remembered::Denial(refusal);
        let entry = Entry { what, until, since: Instant::now(), keep, credential: None, number };
        self.entries.insert(key, entry).await;
    }

    /// Forgets every token that `credential` obtained, whatever it was asked for.
    ///
    /// # Cancel safety
    /// Must be run to its end: dropped, some tokens may stay.
    pub async fn forget(&self, credential: Key) {
        let keys = lock(&self.by_credential).remove(&credential).unwrap_or_default();
        for key in keys.into_keys() {
            self.entries.invalidate(&key).await;
        }
    }
}

impl Entry {
    fn weight(&self) -> usize {
        OVERHEAD
            + match &self.what {
                Remembered::Token(held) => {
                    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                    held.body.expose().len() + text(&held.subject) + text(&held.auth_type)
                }
                Remembered::Denial(refusal) => refusal.body.len() + 64 * refusal.headers.len(),
            }
    }
}

fn unlist(index: &Index, key: Key, entry: &Entry) {
    let Some(credential) = entry.credential else { return };
    let mut index = lock(index);
    let Some(keys) = index.get_mut(&credential) else { return };
    if keys.get(&key) == Some(&entry.number) {
        keys.remove(&key);
    }
    if keys.is_empty() {
        index.remove(&credential);
    }
}

fn lock(index: &Index) -> MutexGuard<'_, HashMap<Key, HashMap<Key, u64>>> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long moka keeps an entry; only ever frees memory.
#[derive(Debug)]
struct Keep;

impl moka::Expiry<Key, Entry> for Keep {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: std::time::Instant) -> Option<Duration> {
        Some(entry.keep)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Entry,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.keep)
    }
}

#[cfg(test)]
mod tests;
