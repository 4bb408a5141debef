//! Asking again while a push outlives its token: is its holder still welcome, and may it have a fresh one.
//!
//! Only the credential that obtained exactly this token is used, from the address it came from. What ends an extension
//! is a clear no: 401, 403 `DENIED`, a token for somebody else, or one that no longer grants the push. Whatever else
//! the authority says, or fails to say, means that it could not be asked.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::flight::Flights;
use super::key::Key;
use super::revocation::{KILL_LIST_ENTRIES, KillList};
use super::service::TokenService;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::oci::access::ResourceActions;
use crate::oci::name::{RepositoryName, UploadId};
use crate::policy::PushSettings;
use crate::telemetry::labels::Limit;
use crate::token::claims::Claims;
use crate::token::identity::Identity;
use crate::token::verifier::Lapsed;

mod ask;

/// What a kept token must have left to be used once more while the authority cannot be asked: the way to the registry.
const LAST_USE: Duration = Duration::from_secs(5);

/// Verifications and exchanged tokens that are remembered; more are asked for again.
const REMEMBERED: u64 = 65_536;

/// What is known of the holder of a lapsed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The authority said at this moment that the holder may push here.
    Confirmed {
        /// When it was asked.
        at: Timestamp,
    },
    /// The ticket's last verification is younger than `push.reverify`.
    StillFresh,
    /// The authority cannot be asked; `push.on_authority_down` decides.
    Unreachable,
    /// The credential is not at hand; `push.max_unverified` decides.
    NoCredential,
    /// The extension has ended.
    Revoked(Revoked),
}

/// Why an extension has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Revoked {
    /// The authority refuses the credential: 401, or 403 with code `DENIED`.
    #[error("the authority refuses the credential")]
    Credential,
    /// It gave a token for somebody else.
    #[error("the credential now speaks for somebody else")]
    Identity,
    /// It gave a token that does not grant the push any more.
    #[error("the authority no longer grants the push")]
    Grant,
    /// One of these was found out earlier, by another request.
    #[error("the authority took the access back earlier")]
    Earlier,
    /// The kill list was full when the upload was open: nobody knows whether it is on it.
    #[error("the kill list is full")]
    KillListFull,
}

/// A token that takes the place of another of the same holder.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// The compact JWT.
    pub token: Secret,
    /// When it was obtained.
    pub issued: Timestamp,
    /// `exp`
    pub expires: Timestamp,
}

/// Why there is no other token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The credential is not at hand: a restart, another replica, a client that asked the authority directly.
    #[error("the credential that obtained the token is not at hand")]
    NoCredential,
    /// The authority refuses the credential.
    #[error("the authority refuses the credential")]
    Revoked,
    /// The authority cannot be asked.
    #[error("the authority cannot be asked")]
    Unreachable,
    /// The new token is somebody else's.
    #[error("the credential now speaks for somebody else")]
    IdentityChanged,
    /// The new token does not cover what is needed.
    #[error("the authority no longer grants what is needed")]
    NotGranted,
}

/// What the service knows of running pushes.
#[derive(Debug)]
pub(super) struct Renewals {
    reverify: Duration,
    margin: Duration,
    kills: KillList,
    checks: Cache<Key, Check>,
    exchanged: Cache<Key, Kept>,
    checking: Flights<Check>,
    exchanging: Flights<Result<Exchanged, ExchangeError>>,
}

/// What the authority said of a credential in a repository, and when.
#[derive(Clone, Debug)]
struct Check {
    at: Timestamp,
    since: Instant,
    said: Said,
}

#[derive(Clone, Debug)]
enum Said {
    /// It may push, as this holder.
    Grants(Holder),
    NotGranted,
    Refused,
    Nothing,
}

#[derive(Clone, Debug)]
struct Kept {
    credential: Key,
    since: Instant,
    life: Duration,
    exchanged: Exchanged,
}

/// Who a token speaks for, as far as two tokens of one credential can be compared.
#[derive(Clone, Debug)]
struct Holder {
    identity: Identity,
    /// A token without `sub` and without GitLab's nested `user` names nobody: its identity is the very token, and the
    /// next one's is another by necessity. That both came of one credential is then all there is to compare.
    nameless: bool,
    auth_type: Option<String>,
}

impl TokenService {
    /// Whether the holder of a lapsed token may still push to `repository`. `opened` and `last_verified` are the
    /// ticket's. The authority is asked at most every `push.reverify` for a credential in a repository.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the wait; the question is asked to its end and its answer counts.
    pub async fn reverify(
        &self,
        token: &[u8],
        lapsed: &Lapsed,
        repository: &RepositoryName,
        last_verified: Timestamp,
        opened: Timestamp,
        now: Timestamp,
    ) -> Standing {
        let inner = &self.inner;
        let renewals = &inner.renewals;
        if renewals.kills.is_full_for(opened, now) {
            return Standing::Revoked(Revoked::KillListFull);
        }
        let token = inner.keyer.token(token);
        let Some(credential) = inner.credentials.key(token, now) else { return Standing::NoCredential };
        let grant = inner.keyer.grant(credential, repository.as_str());
        if renewals.kills.is_killed(&[credential, grant], opened, now) {
            return Standing::Revoked(Revoked::Earlier);
        }
        if !inner.credentials.is_at_hand(token, now) {
            return Standing::NoCredential;
        }
        if renewals.is_recent(last_verified, now) {
            return Standing::StillFresh;
        }
        let holder = Holder::of(lapsed.claims(), lapsed.identity());
        let known = renewals.checks.get(&grant).await;
        let known =
            known.filter(|check| renewals.is_recent(check.at, now) && check.since.elapsed() < renewals.reverify);
        let check = match known {
            Some(check) => check,
            None => {
                let check = || Arc::clone(inner).check(token, credential, grant, repository.clone());
                match renewals.checking.join(grant, check).await {
                    (Some(check), _) => check,
                    (None, _) => return Standing::Unreachable,
                }
            }
        };
        match check.said {
            Said::Grants(other) if holder.is(&other) => Standing::Confirmed { at: check.at },
            Said::Grants(_) => {
                inner.kill(grant, Revoked::Identity, check.at);
                Standing::Revoked(Revoked::Identity)
            }
            Said::NotGranted => Standing::Revoked(Revoked::Grant),
            Said::Refused => Standing::Revoked(Revoked::Credential),
            Said::Nothing => Standing::Unreachable,
        }
    }

    /// A fresh token in place of `token`, with exactly the access `needed` (already no more than `old` grants).
    ///
    /// # Errors
    /// [`ExchangeError`]
    ///
    /// # Cancel safety
    /// As [`TokenService::reverify`].
    pub async fn exchange(
        &self,
        token: &[u8],
        old: &Claims,
        identity: Identity,
        needed: &[ResourceActions],
        now: Timestamp,
    ) -> Result<Exchanged, ExchangeError> {
        let inner = &self.inner;
        let token = inner.keyer.token(token);
        let credential = inner.credentials.key(token, now).filter(|_| inner.credentials.is_at_hand(token, now));
        let credential = credential.ok_or(ExchangeError::NoCredential)?;
        let key = inner.keyer.exchange(token, needed);
        let kept = inner.renewals.exchanged.get(&key).await;
        if let Some(kept) = kept.as_ref().filter(|kept| inner.renewals.may_serve_again(kept, now)) {
            return Ok(kept.exchanged.clone());
        }
        let (holder, needed) = (Holder::of(old, identity), needed.to_vec());
        let ask = || Arc::clone(inner).obtain(token, credential, key, holder, needed);
        let answer = inner.renewals.exchanging.join(key, ask).await.0.unwrap_or(Err(ExchangeError::Unreachable));
        match (answer, kept) {
            (Err(ExchangeError::Unreachable), Some(kept)) if inner.renewals.still_lives(&kept, inner.clock.now()) => {
                Ok(kept.exchanged)
            }
            (answer, _) => answer,
        }
    }

    /// An upload was opened with `token`: its credential stays at hand until the upload is closed.
    pub fn opened(
        &self,
        token: &[u8],
        repository: &RepositoryName,
        upload: &UploadId,
        hard_end: Timestamp,
        now: Timestamp,
    ) {
        let inner = &self.inner;
        let upload = inner.keyer.upload(repository.as_str(), upload.as_str());
        if inner.credentials.opened(upload, inner.keyer.token(token), hard_end, now).is_err() {
            inner.metrics.limit_hit(Limit::Credentials);
        }
    }

    /// An upload has ended: finished, cancelled, or given up by the registry.
    pub fn closed(&self, repository: &RepositoryName, upload: &UploadId, now: Timestamp) {
        let upload = self.inner.keyer.upload(repository.as_str(), upload.as_str());
        self.inner.credentials.closed(upload, now);
    }

    /// Whether the extension of an upload opened at `opened` has been ended, as far as is known without asking.
    #[must_use]
    pub fn is_killed(&self, token: &[u8], repository: &RepositoryName, opened: Timestamp, now: Timestamp) -> bool {
        let inner = &self.inner;
        let keys = inner.credentials.key(inner.keyer.token(token), now).map(|credential| {
            let grant = inner.keyer.grant(credential, repository.as_str());
            [credential, grant]
        });
        inner.renewals.kills.is_killed(keys.as_ref().map_or(&[], <[Key; 2]>::as_slice), opened, now)
    }
}

impl Holder {
    fn of(claims: &Claims, identity: Identity) -> Self {
        let nameless = claims.subject.as_deref().is_none_or(str::is_empty) && claims.user.is_none();
        Self { identity, nameless, auth_type: claims.auth_type.clone() }
    }

    fn is(&self, other: &Self) -> bool {
        self.identity == other.identity || (self.nameless && other.nameless && self.auth_type == other.auth_type)
    }
}

impl Kept {
    /// What is left of its life, by the less generous of the two clocks.
    fn left(&self, now: Timestamp) -> Duration {
        self.exchanged.expires.until(now).min(self.life.saturating_sub(self.since.elapsed()))
    }
}

impl Renewals {
    pub(super) fn new(push: &PushSettings, handle: &Handle) -> Self {
        Self {
            reverify: push.reverify,
            margin: push.exchange_margin,
            kills: KillList::new(KILL_LIST_ENTRIES, push.max_session),
            checks: Cache::builder().max_capacity(REMEMBERED).time_to_live(push.reverify).build(),
            exchanged: Cache::builder().max_capacity(REMEMBERED).time_to_live(push.max_session).build(),
            checking: Flights::new(handle.clone()),
            exchanging: Flights::new(handle.clone()),
        }
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.kills.sweep(now);
    }

    /// Younger than `push.reverify`; a moment ahead of the clock is none to rely on.
    fn is_recent(&self, at: Timestamp, now: Timestamp) -> bool {
        let age = now.since(at);
        age >= 0 && now < at.plus(self.reverify)
    }

    /// With the margin left (half its life where that is less: some authorities' tokens live shorter than the margin)
    /// and its credential not refused since.
    fn may_serve_again(&self, kept: &Kept, now: Timestamp) -> bool {
        let left = kept.left(now);
        left >= self.margin.min(kept.life / 2) && !left.is_zero() && !self.was_refused(kept)
    }

    /// Better than nothing while the authority cannot be asked.
    fn still_lives(&self, kept: &Kept, now: Timestamp) -> bool {
        kept.left(now) > LAST_USE && !self.was_refused(kept)
    }

    fn was_refused(&self, kept: &Kept) -> bool {
        self.kills.moment(kept.credential).is_some_and(|moment| moment >= kept.exchanged.issued)
    }
}

#[cfg(test)]
mod tests;
