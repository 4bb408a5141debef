//! Asking again while a push outlives its token: is its holder still welcome, and may it have a fresh one.
//!
//! Only the credential that obtained exactly this token is used, from the address it came from. What ends an extension
//! is a clear no: 401, 403 `DENIED`, a token for somebody else, or one that no longer grants the push. Whatever else
//! the authority says, or fails to say, means that it could not be asked.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use moka::future::Cache;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::credentials::Credential;
use super::flight::Flights;
use super::key::Key;
use super::revocation::{KILL_LIST_ENTRIES, KillList};
use super::service::{Inner, TokenService};
use crate::authority::answer::{Answer, Granted, Refusal};
use crate::authority::gitlab::{Asker, Question};
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::oci::access::{Action, ResourceActions};
use crate::oci::name::{RepositoryName, UploadId};
use crate::policy::PushSettings;
use crate::telemetry::labels::Limit;
use crate::token::claims::Claims;
use crate::token::identity::Identity;
use crate::token::verifier::{self, Lapsed, Verified};

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
        let credential = inner.credentials.key(token, now).ok_or(ExchangeError::NoCredential)?;
        let key = inner.keyer.exchange(token, needed);
        if let Some(kept) = inner.renewals.exchanged.get(&key).await
            && inner.renewals.may_serve_again(&kept, now)
        {
            return Ok(kept.exchanged);
        }
        let (holder, needed) = (Holder::of(old, identity), needed.to_vec());
        let ask = || Arc::clone(inner).obtain(token, credential, key, holder, needed);
        inner.renewals.exchanging.join(key, ask).await.0.unwrap_or(Err(ExchangeError::Unreachable))
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

impl Inner {
    /// Asks whether the push is still granted. Runs as a task of its own.
    async fn check(self: Arc<Self>, token: Key, credential: Key, grant: Key, repository: RepositoryName) -> Check {
        let needed = ResourceActions::repository(repository.as_str(), &[Action::Pull, Action::Push]);
        let answer = match self.credentials.find(token, self.clock.now()) {
            Some(found) => self.ask_again(&found.credential, std::slice::from_ref(&needed)).await,
            None => None,
        };
        let at = self.clock.now();
        let said = match answer {
            Some(Again::Token(_, new)) if new.claims().covers(&needed) => {
                Said::Grants(Holder::of(new.claims(), new.identity()))
            }
            Some(Again::Token(..)) => {
                self.kill(grant, Revoked::Grant, at);
                Said::NotGranted
            }
            Some(Again::Refused) => {
                self.refuse(credential, at).await;
                Said::Refused
            }
            None => Said::Nothing,
        };
        let check = Check { at, since: Instant::now(), said };
        if matches!(check.said, Said::Grants(_) | Said::Nothing) {
            // What ended the extension is on the kill list, and says nothing about uploads that are opened later.
            self.renewals.checks.insert(grant, check.clone()).await;
        }
        check
    }

    /// Obtains a token in place of another. Runs as a task of its own.
    async fn obtain(
        self: Arc<Self>,
        token: Key,
        credential: Key,
        key: Key,
        holder: Holder,
        needed: Vec<ResourceActions>,
    ) -> Result<Exchanged, ExchangeError> {
        let found = self.credentials.find(token, self.clock.now()).ok_or(ExchangeError::NoCredential)?;
        let answer = self.ask_again(&found.credential, &needed).await;
        let now = self.clock.now();
        let (granted, new) = match answer {
            Some(Again::Token(granted, new)) => (granted, new),
            Some(Again::Refused) => {
                self.refuse(credential, now).await;
                return Err(ExchangeError::Revoked);
            }
            None => return Err(ExchangeError::Unreachable),
        };
        let pushes = needed.iter().filter(|one| one.grants(&Action::Push) && one.grants(&Action::Pull));
        let same = holder.is(&Holder::of(new.claims(), new.identity()));
        for one in pushes {
            let grant = self.keyer.grant(credential, &one.name);
            if !same {
                self.kill(grant, Revoked::Identity, now);
            } else if !new.claims().covers(one) {
                self.kill(grant, Revoked::Grant, now);
            } else {
                let said = Said::Grants(Holder::of(new.claims(), new.identity()));
                self.renewals.checks.insert(grant, Check { at: now, since: Instant::now(), said }).await;
            }
        }
        if !same {
            return Err(ExchangeError::IdentityChanged);
        }
        if !needed.iter().all(|one| new.claims().covers(one)) {
            return Err(ExchangeError::NotGranted);
        }
        let expires = new.claims().expires;
        let exchanged = Exchanged { token: granted.token, issued: now, expires };
        let kept = Kept { credential, since: Instant::now(), life: expires.until(now), exchanged: exchanged.clone() };
        self.renewals.exchanged.insert(key, kept).await;
        Ok(exchanged)
    }

    /// Asks the authority with a kept credential; `None` when that gave no answer that counts.
    async fn ask_again(&self, credential: &Credential, scope: &[ResourceActions]) -> Option<Again> {
        let service = credential.service.as_deref().unwrap_or(&self.authority.verifier().service);
        let question = Question {
            query: Some(query(service, scope, credential.account.as_deref())),
            authorization: credential.authorization.clone(),
            asker: Asker { address: credential.client, scheme: "https", host: None },
            request_id: None,
            user_agent: Some(HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")))),
        };
        match self.authority.ask(&question).await {
            Answer::Granted(granted) => match granted.signed.at(self.clock.now()) {
                Ok(verifier::Standing::Living(verified)) => Some(Again::Token(granted, verified)),
                Ok(verifier::Standing::Lapsed(_)) | Err(_) => None,
            },
            Answer::Denied(refusal) if is_clear(&refusal) => Some(Again::Refused),
            Answer::Denied(_)
            | Answer::Passed(_)
            | Answer::Opaque { .. }
            | Answer::Throttled { .. }
            | Answer::Unreachable { .. } => None,
        }
    }

    /// The authority refuses the credential: all its uploads end, and its tokens are not handed out again.
    async fn refuse(&self, credential: Key, at: Timestamp) {
        self.kill(credential, Revoked::Credential, at);
        self.cache.forget(credential).await;
    }

    fn kill(&self, key: Key, why: Revoked, at: Timestamp) {
        let known = self.renewals.kills.moment(key).is_some_and(|moment| moment >= at);
        if known {
            return;
        }
        tracing::warn!(authority = self.authority.name(), reason = %why, "the extension of running uploads ends");
        if self.renewals.kills.kill(key, at).is_err() {
            self.metrics.limit_hit(Limit::KillList);
            tracing::warn!(authority = self.authority.name(), "the kill list is full: no open upload is extended");
        }
    }
}

/// An answer that counts.
enum Again {
    Token(Box<Granted>, Verified),
    Refused,
}

/// 401, or 403 that says `DENIED`: a ban of the address or a limit on addresses is a 403 without that code.
fn is_clear(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::UNAUTHORIZED
        || (refusal.status == StatusCode::FORBIDDEN && refusal.codes().iter().any(|code| code == "DENIED"))
}

/// `service=…&scope=…[&scope=…]&client_id=tidegate[&account=…]`
fn query(service: &str, scope: &[ResourceActions], account: Option<&str>) -> String {
    let mut query = String::from("service=");
    encode(service, &mut query);
    for entry in scope {
        query.push_str("&scope=");
        encode(&entry.to_string(), &mut query);
    }
    query.push_str("&client_id=tidegate");
    if let Some(account) = account {
        query.push_str("&account=");
        encode(account, &mut query);
    }
    query
}

/// Percent-encodes what cannot stand in a query's value; colon, slash and comma can (RFC 3986 §3.4).
fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(into, "%{byte:02X}");
        }
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
        let left = kept.exchanged.expires.until(now).min(kept.life.saturating_sub(kept.since.elapsed()));
        let refused = self.kills.moment(kept.credential).is_some_and(|moment| moment >= kept.exchanged.issued);
        left >= self.margin.min(kept.life / 2) && !left.is_zero() && !refused
    }
}

#[cfg(test)]
mod tests;
