//! The credentials that obtained a token with `push`: sealed in memory, found by that very token, wiped when nothing
//! depends on them any more.
//!
//! ```text
//! keep(token) ──▶ entry ── until the token is not honoured any more
//!                   ▲
//! opened(upload) ───┘      …and no upload of its credential is open: closed(upload), or its hard end
//!                          then the credential is wiped, and which one it was is known to the last hard end
//! ```
//!
//! An upload keeps every token of its credential that it may be continued with, not only the one that opened it:
//! clients fetch another in between. What outlives the credential is its keyed hash alone, so that an extension that
//! was ended stays ended.
//!
//! Bounded in bytes: full, it refuses new entries, and such a push is extended for `push.max_unverified` only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// By credential; one without tokens and open uploads is not there.
    owners: HashMap<Key, Owner>,
    bytes: usize,
    swept: Timestamp,
}

#[derive(Debug)]
struct Entry {
    credential: Key,
    /// Nonce, ciphertext and tag; none: wiped.
    sealed: Option<Box<[u8]>>,
    /// When the token is not honoured any more.
    honoured: Timestamp,
    /// Once wiped: until when it is known whose the token was.
    known: Timestamp,
}

/// What depends on one credential.
#[derive(Debug, Default)]
struct Owner {
    /// The tokens it is kept for; not those it was wiped for.
    tokens: BTreeSet<Key>,
    /// Its open uploads by when they were opened, with their hard ends.
    open: BTreeMap<(Timestamp, Key), Timestamp>,
    /// The last hard end of all its uploads, open or not.
    last: Timestamp,
}

#[derive(Debug)]
struct Upload {
    credential: Key,
    opened: Timestamp,
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
        let known = state.forget(token).map_or(Timestamp(0), |old| old.known);
        state.bytes += weight;
        state.owners.entry(credential).or_default().tokens.insert(token);
        state.entries.insert(token, Entry { credential, sealed: Some(sealed), honoured, known });
        Ok(())
    }

    /// The credential that obtained `token`.
    #[must_use]
    pub fn find(&self, token: Key, now: Timestamp) -> Option<Found> {
        let (key, sealed) = {
            let state = self.lock();
            let entry = state.entries.get(&token).filter(|entry| state.is_needed(entry, now))?;
            (entry.credential, entry.sealed.clone()?)
        };
        Some(Found { key, credential: self.open(token, &sealed)? })
    }

    /// What the credential that obtained `token` is known by. Known also after it was wiped, to the hard end of its
    /// last upload: what is on the kill list must be found there.
    #[must_use]
    pub fn key(&self, token: Key, now: Timestamp) -> Option<Key> {
        let state = self.lock();
        state.entries.get(&token).filter(|entry| state.is_known(entry, now)).map(|entry| entry.credential)
    }

    /// Whether the credential that obtained `token` can still be asked with, without opening it.
    #[must_use]
    pub fn is_at_hand(&self, token: Key, now: Timestamp) -> bool {
        let state = self.lock();
        state.entries.get(&token).is_some_and(|entry| state.is_needed(entry, now))
    }

    /// `upload` was opened with `token`: what its credential obtained stays until the upload is closed or past its
    /// hard end. The first to say so counts; where no credential is at hand there is nothing to keep.
    ///
    /// # Errors
    /// [`Full`]
    pub fn opened(&self, upload: Key, token: Key, hard_end: Timestamp, now: Timestamp) -> Result<(), Full> {
        let mut state = self.lock();
        let at_hand = state.entries.get(&token).is_some_and(|entry| entry.sealed.is_some());
        if state.uploads.contains_key(&upload) || !at_hand {
            return Ok(());
        }
        state.make_room(OVERHEAD, self.limit, now)?;
        let Some(&Entry { credential, honoured, .. }) = state.entries.get(&token) else { return Ok(()) };
        // The registry may have taken its time to open it; it was asked while the token was honoured.
        let opened = now.min(honoured);
        let owner = state.owners.entry(credential).or_default();
        owner.open.insert((opened, upload), hard_end);
        owner.last = owner.last.max(hard_end);
        state.bytes += OVERHEAD;
        state.uploads.insert(upload, Upload { credential, opened, hard_end });
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
    fn weight(&self) -> usize {
        self.sealed.as_ref().map_or(0, |sealed| sealed.len()) + OVERHEAD
    }
}

impl Owner {
    /// Whether an upload is open that a token honoured until `honoured` may be sent with: not one opened later.
    fn depends(&self, honoured: Timestamp, now: Timestamp) -> bool {
        self.open.iter().take_while(|((opened, _), _)| *opened <= honoured).any(|(_, hard_end)| now <= *hard_end)
    }
}

impl State {
    /// Whether its credential is there and something depends on it.
    fn is_needed(&self, entry: &Entry, now: Timestamp) -> bool {
        let depends = || self.owners.get(&entry.credential).is_some_and(|owner| owner.depends(entry.honoured, now));
        entry.sealed.is_some() && (now <= entry.honoured || depends())
    }

    /// Whether an upload of its credential may still come back.
    fn is_known(&self, entry: &Entry, now: Timestamp) -> bool {
        now <= self.known_until(entry) || self.is_needed(entry, now)
    }

    fn known_until(&self, entry: &Entry) -> Timestamp {
        let owner = self.owners.get(&entry.credential).filter(|_| entry.sealed.is_some());
        entry.known.max(owner.map_or(Timestamp(0), |owner| owner.last))
    }

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
            self.entries.iter().filter(|(_, entry)| !self.is_needed(entry, now)).map(|(key, _)| *key).collect();
        for token in idle {
            self.let_go(token, now);
        }
    }

    fn close(&mut self, upload: Key, now: Timestamp) {
        let Some(Upload { credential, opened, .. }) = self.uploads.remove(&upload) else { return };
        self.bytes = self.bytes.saturating_sub(OVERHEAD);
        let Some(owner) = self.owners.get_mut(&credential) else { return };
        owner.open.remove(&(opened, upload));
        let tokens: Vec<Key> = owner.tokens.iter().copied().collect();
        for token in tokens {
            if self.entries.get(&token).is_some_and(|entry| !self.is_needed(entry, now)) {
                self.let_go(token, now);
            }
        }
        self.tidy(credential);
    }

    /// Wipes a credential that nothing depends on; whose the token was stays for as long as it is to be known.
    fn let_go(&mut self, token: Key, now: Timestamp) {
        let known = self.entries.get(&token).map_or(Timestamp(0), |entry| self.known_until(entry));
        let Some(entry) = self.forget(token) else { return };
        if now <= known {
            let entry = Entry { sealed: None, known, ..entry };
            self.bytes += entry.weight();
            self.entries.insert(token, entry);
        }
    }

    fn forget(&mut self, token: Key) -> Option<Entry> {
        let entry = self.entries.remove(&token)?;
        self.bytes = self.bytes.saturating_sub(entry.weight());
        if let Some(owner) = self.owners.get_mut(&entry.credential) {
            owner.tokens.remove(&token);
        }
        self.tidy(entry.credential);
        Some(entry)
    }

    /// Forgets an owner that has nothing.
    fn tidy(&mut self, credential: Key) {
        if self.owners.get(&credential).is_some_and(|owner| owner.tokens.is_empty() && owner.open.is_empty()) {
            self.owners.remove(&credential);
        }
    }
}

#[cfg(test)]
mod tests;
