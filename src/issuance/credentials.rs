//! The credentials that obtained a token with `push`: sealed in memory, found by that very token, wiped when nothing
//! depends on them any more.
//!
//! ```text
//! keep(token) ──▶ entry ── until the token is not honoured any more
//!                   ▲
//! opened(upload) ───┘      …and no upload opened with it is open: closed(upload), or its hard end
//! ```
//!
//! Bounded in bytes: full, it refuses new entries, and such a push is extended for `push.max_unverified` only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::key::{Key, NoRandomness};
use crate::base::clock::Timestamp;

mod wire;

/// Bound of all entries together, in bytes: some 50 000 pushes that run at once.
pub const CREDENTIAL_BYTES: usize = 32 * 1024 * 1024;

/// What an entry or an upload counts beside its sealed bytes: keys, map slots, bookkeeping.
const OVERHEAD: usize = 256;

/// Sets this purpose apart from every other use of the same cipher.
const LABEL: &[u8] = b"tidegate sealed credential 1";

const TAG_LEN: usize = 16;

/// The store is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store of credentials is full")]
pub struct Full;

/// What it takes to ask the authority again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The Authorization header, byte for byte; none: the token was given to anyone.
    pub authorization: Option<HeaderValue>,
    /// `service`
    pub service: Option<String>,
    /// `account`
    pub account: Option<String>,
    /// The client's address at the time: authorities ban and limit by it.
    pub client: IpAddr,
}

/// A credential that was found, and what it is known by.
#[derive(Clone, Debug)]
pub struct Found {
    /// The same for every token it obtained.
    pub key: Key,
    /// The credential, in clear for as long as this value lives.
    pub credential: Credential,
}

/// The store.
#[derive(Debug)]
pub struct Credentials {
    sealing: RandomizedNonceKey,
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    uploads: HashMap<Key, Upload>,
    bytes: usize,
    swept: Timestamp,
}

#[derive(Debug)]
struct Entry {
    credential: Key,
    /// Nonce, ciphertext and tag.
    sealed: Box<[u8]>,
    /// When the token is not honoured any more.
    honoured: Timestamp,
    /// How many uploads opened with it are open, and the last moment any of them may be.
    open: usize,
    open_until: Timestamp,
}

#[derive(Debug)]
struct Upload {
    token: Key,
    hard_end: Timestamp,
}

impl Credentials {
    /// At most `limit` bytes, sealed under a key of their own that never leaves this value.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(limit: usize) -> Result<Self, NoRandomness> {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut()).map_err(|_| NoRandomness)?;
        let sealing = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_ref()).map_err(|_| NoRandomness)?;
        Ok(Self { sealing, limit, state: Mutex::default() })
    }

    /// Keeps what obtained `token`, which is honoured until `honoured`.
    ///
    /// # Errors
    /// [`Full`], also when it cannot be sealed: nothing is kept in clear.
    pub fn keep(
        &self,
        token: Key,
        credential: Key,
        what: &Credential,
        honoured: Timestamp,
        now: Timestamp,
    ) -> Result<(), Full> {
        let sealed = self.seal(token, what).ok_or(Full)?;
        let weight = sealed.len() + OVERHEAD;
        let mut state = self.lock();
        state.make_room(weight, self.limit, now)?;
        let (open, open_until) = state.forget(token).map_or((0, Timestamp(0)), |old| (old.open, old.open_until));
        state.bytes += weight;
        state.entries.insert(token, Entry { credential, sealed, honoured, open, open_until });
        Ok(())
    }

    /// The credential that obtained `token`.
    #[must_use]
    pub fn find(&self, token: Key, now: Timestamp) -> Option<Found> {
        let (key, sealed) = {
            let state = self.lock();
            let entry = state.entries.get(&token).filter(|entry| entry.is_needed(now))?;
            (entry.credential, entry.sealed.clone())
        };
        Some(Found { key, credential: self.open(token, &sealed)? })
    }

    /// What the credential that obtained `token` is known by, without opening it.
    #[must_use]
    pub fn key(&self, token: Key, now: Timestamp) -> Option<Key> {
        self.lock().entries.get(&token).filter(|entry| entry.is_needed(now)).map(|entry| entry.credential)
    }

    /// `upload` was opened with `token`: its credential stays until the upload is closed or past its hard end. The
    /// first token to say so counts; where no credential is at hand there is nothing to keep.
    ///
    /// # Errors
    /// [`Full`]
    pub fn opened(&self, upload: Key, token: Key, hard_end: Timestamp, now: Timestamp) -> Result<(), Full> {
        let mut state = self.lock();
        if state.uploads.contains_key(&upload) || !state.entries.contains_key(&token) {
            return Ok(());
        }
        state.make_room(OVERHEAD, self.limit, now)?;
        let Some(entry) = state.entries.get_mut(&token) else { return Ok(()) };
        entry.open += 1;
        entry.open_until = entry.open_until.max(hard_end);
        state.bytes += OVERHEAD;
        state.uploads.insert(upload, Upload { token, hard_end });
        Ok(())
    }

    /// `upload` has ended. A credential that nothing depends on any more is wiped at once.
    pub fn closed(&self, upload: Key, now: Timestamp) {
        self.lock().close(upload, now);
    }

    /// Wipes what nothing depends on any more.
    pub fn sweep(&self, now: Timestamp) {
        self.lock().sweep(now);
    }

    /// What all entries count together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn seal(&self, token: Key, what: &Credential) -> Option<Box<[u8]>> {
        let mut bytes = Zeroizing::new(wire::write(what, TAG_LEN));
        let nonce = self.sealing.seal_in_place_append_tag(aad(token), &mut *bytes).ok()?;
        Some([nonce.as_ref().as_slice(), &bytes].concat().into_boxed_slice())
    }

    fn open(&self, token: Key, sealed: &[u8]) -> Option<Credential> {
        let (nonce, bytes) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = Zeroizing::new(bytes.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        wire::read(self.sealing.open_in_place(nonce, aad(token), &mut bytes).ok()?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sealed credential opens under its own token only.
fn aad(token: Key) -> Aad<Vec<u8>> {
    Aad::from([LABEL, token.as_bytes().as_slice()].concat())
}

impl Entry {
    fn is_needed(&self, now: Timestamp) -> bool {
        now <= self.honoured || (self.open > 0 && now <= self.open_until)
    }
}

impl State {
    /// Sweeps when there is no room, at most once a second: a full store must stay cheap to refuse with.
    fn make_room(&mut self, weight: usize, limit: usize, now: Timestamp) -> Result<(), Full> {
        if self.bytes.saturating_add(weight) > limit && now != self.swept {
            self.sweep(now);
        }
        if self.bytes.saturating_add(weight) > limit { Err(Full) } else { Ok(()) }
    }

    fn sweep(&mut self, now: Timestamp) {
        self.swept = now;
        let ended: Vec<Key> =
            self.uploads.iter().filter(|(_, upload)| upload.hard_end < now).map(|(key, _)| *key).collect();
        for upload in ended {
            self.close(upload, now);
        }
        let idle: Vec<Key> =
            self.entries.iter().filter(|(_, entry)| !entry.is_needed(now)).map(|(key, _)| *key).collect();
        for token in idle {
            self.forget(token);
        }
    }

    fn close(&mut self, upload: Key, now: Timestamp) {
        let Some(Upload { token, .. }) = self.uploads.remove(&upload) else { return };
        self.bytes = self.bytes.saturating_sub(OVERHEAD);
        let Some(entry) = self.entries.get_mut(&token) else { return };
        entry.open = entry.open.saturating_sub(1);
        if !entry.is_needed(now) {
            self.forget(token);
        }
    }

    fn forget(&mut self, token: Key) -> Option<Entry> {
        let entry = self.entries.remove(&token)?;
        self.bytes = self.bytes.saturating_sub(entry.sealed.len() + OVERHEAD);
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
