//! The kill list: credentials, and credentials in one repository, whose uploads are not extended any more.
//!
//! An entry says when. It ends the extension of uploads opened at that moment or before; a credential that is honoured
//! again later opens new ones. It lives as long as such an upload could.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::key::Key;
use crate::base::clock::Timestamp;

/// How many entries are kept. A full list refuses extensions, so it is sized for an attacker who owns thousands of
/// credentials: 128 bytes each, 8 MiB in all.
pub const KILL_LIST_ENTRIES: usize = 65_536;

/// The list is full: what was to be written down counts for every upload open now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kill list is full")]
pub struct Full;

/// What was killed, and when.
#[derive(Debug)]
pub struct KillList {
    limit: usize,
    lasts: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    killed: HashMap<Key, Timestamp>,
    /// The last moment at which an entry found no room: all that was open then is refused.
    lost: Option<Timestamp>,
}

impl KillList {
    /// At most `limit` entries, each for `lasts`: the longest an upload can go on.
    #[must_use]
    pub fn new(limit: usize, lasts: Duration) -> Self {
        Self { limit, lasts, state: Mutex::default() }
    }

    /// Writes down that `key` was killed at `now`.
    ///
    /// # Errors
    /// [`Full`]: every upload opened until now is refused instead.
    pub fn kill(&self, key: Key, now: Timestamp) -> Result<(), Full> {
        let mut state = self.lock();
        if state.killed.len() >= self.limit && !state.killed.contains_key(&key) {
            state.sweep(self.lasts, now);
        }
        if state.killed.len() >= self.limit && !state.killed.contains_key(&key) {
            state.lost = state.lost.max(Some(now));
            return Err(Full);
        }
        let moment = state.killed.entry(key).or_insert(now);
        *moment = (*moment).max(now);
        Ok(())
    }

    /// Whether an upload opened at `opened` is ended by any of `keys`, or by an entry that found no room.
    #[must_use]
    pub fn is_killed(&self, keys: &[Key], opened: Timestamp, now: Timestamp) -> bool {
        let state = self.lock();
        let ends = |moment: Timestamp| opened <= moment && now <= moment.plus(self.lasts);
        state.lost.is_some_and(ends) || keys.iter().any(|key| state.killed.get(key).copied().is_some_and(ends))
    }

    /// Whether an entry was lost that an upload opened at `opened` may depend on.
    #[must_use]
    pub fn is_full_for(&self, opened: Timestamp, now: Timestamp) -> bool {
        self.is_killed(&[], opened, now)
    }

    /// When `key` was killed last, if at all.
    #[must_use]
    pub fn moment(&self, key: Key) -> Option<Timestamp> {
        self.lock().killed.get(&key).copied()
    }

    /// Forgets what no upload can depend on any more.
    pub fn sweep(&self, now: Timestamp) {
        self.lock().sweep(self.lasts, now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sweep(&mut self, lasts: Duration, now: Timestamp) {
        self.killed.retain(|_, moment| now <= moment.plus(lasts));
        self.lost = self.lost.filter(|moment| now <= moment.plus(lasts));
    }
}

#[cfg(test)]
mod tests;
