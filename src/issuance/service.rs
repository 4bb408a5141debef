//! The token service of one authority, shared by all cores.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::cache::{Held, Remembered, TokenCache};
use super::credentials::{CREDENTIAL_BYTES, Credential, Credentials};
use super::flight::{Flights, Part};
use super::issued::{Issued, IssuedToken, TokenRequest, Variant};
use super::key::{Asked, Key, Keyer, NoRandomness};
use super::renewal::Renewals;
use super::{Settings, repair};
use crate::authority::answer::{Answer, Granted, Refusal, Unreachable};
use crate::authority::gitlab::{self, Gitlab, Question};
use crate::base::clock::{Clock, Timestamp};
use crate::base::secret::Secret;
use crate::oci::access::Action;
use crate::oci::token_api::TokenQuery;
use crate::policy::PushSettings;
use crate::telemetry::labels::{CacheResult, Limit};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::seldom::Seldom;
use crate::token::verifier::Standing;
use crate::upstream;

/// How often credentials and kills that nothing depends on any more are wiped.
const SWEEP: Duration = Duration::from_secs(30);

/// Why there is no token service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority's client cannot be made.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// No keys can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Tokens of one authority: obtained, remembered, handed out, and asked for again. Cloning shares it.
#[derive(Clone, Debug)]
pub struct TokenService {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) authority: Gitlab,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) handle: Handle,
    pub(super) keyer: Keyer,
    pub(super) credentials: Credentials,
    pub(super) cache: TokenCache,
    pub(super) renewals: Renewals,
    announce_lifetime: bool,
    flights: Flights<Fetched>,
    crowded: Seldom,
}

/// What a fetch brought; shared by all who waited for it.
#[derive(Clone, Debug)]
enum Fetched {
    /// A token, and whether it lives long enough to be handed out again.
    Token(Arc<Held>, bool),
    Opaque(Secret),
    Refused(Arc<Refusal>),
    Throttled(Option<HeaderValue>),
    Unreachable(Unreachable, Option<HeaderValue>),
}

/// How a token comes to be handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handing {
    /// With a life worth announcing.
    Lively,
    /// Too short-lived to be kept: as it came.
    AsItCame,
    /// Better than nothing, when the authority cannot be asked.
    Stale,
}

impl TokenService {
    /// A service whose connections and fetches live on `handle`.
    ///
    /// # Errors
    /// [`Error`]
    pub fn new(
        authority: gitlab::Settings,
        tokens: &Settings,
        push: &PushSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
        handle: Handle,
    ) -> Result<Self, Error> {
        let inner = Arc::new(Inner {
            authority: Gitlab::new(authority, Arc::clone(&metrics))?,
            clock,
            keyer: Keyer::new()?,
            credentials: Credentials::new(CREDENTIAL_BYTES)?,
            cache: TokenCache::new(tokens.cache, tokens.negative_ttl, Arc::clone(&metrics)),
            metrics,
            renewals: Renewals::new(push, &handle),
            announce_lifetime: tokens.announce_lifetime,
            flights: Flights::new(handle.clone()),
            crowded: Seldom::new(),
            handle,
        });
        inner.handle.spawn(sweep(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// The authority's name in the configuration; a metric label.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.inner.authority.name()
    }

    /// Answers a token request: from the cache where a token's life covers what the client will assume, else from the
    /// authority, asked once for all who ask the same at the same time.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the wait; the fetch goes on for others and for the cache.
    pub async fn issue(&self, request: TokenRequest) -> Issued {
        let inner = &self.inner;
        let query = TokenQuery::parse(request.question.query.as_deref());
        if !query.cacheable {
            let fetch = Arc::clone(inner).fetch(request.question.clone(), query, None);
            let fetched = inner.handle.spawn(fetch).await.ok();
            return inner.answer(fetched, None, None, &request).await;
        }
        let key = inner.key(&request.question, &query);
        if let Some(remembered) = inner.recall(key, &request.question).await {
            let cache = match &remembered {
                Remembered::Token(_) => CacheResult::Hit,
                Remembered::Denial(_) => CacheResult::Negative,
            };
            inner.metrics.token_cache(cache);
            return inner.answer(Some(remembered.into()), None, Some(cache), &request).await;
        }
        let question = request.question.clone();
        let fetch = || Arc::clone(inner).fetch(question, query, Some(key));
        let (fetched, part) = inner.flights.join(key, fetch).await;
        let cache = match part {
            Part::Led => CacheResult::Miss,
            Part::Followed => CacheResult::Coalesced,
        };
        inner.metrics.token_cache(cache);
        inner.answer(fetched, Some(key), Some(cache), &request).await
    }
}

impl Inner {
    fn key(&self, question: &Question, query: &TokenQuery) -> Key {
        self.keyer.asked(&Asked {
            authority: self.authority.name(),
            authorization: question.authorization.as_ref().map(HeaderValue::as_bytes),
            service: query.service.as_deref(),
            scope: &query.canonical_scope(),
            account: query.account.as_deref(),
            client: question.asker.address,
        })
    }

    /// Where it is remembered that the credential itself was refused; an anonymous request has none.
    fn refused(&self, question: &Question) -> Option<Key> {
        let authorization = question.authorization.as_ref()?;
        Some(self.keyer.refused(self.authority.name(), authorization.as_bytes(), question.asker.address))
    }

    /// What the cache has to hand out: a token with enough life, or a denial that still counts, of this request or of
    /// its credential whatever it is for.
    async fn recall(&self, key: Key, question: &Question) -> Option<Remembered> {
        let now = self.clock.now();
        let found = self.cache.get(key, now).await.filter(|remembered| match remembered {
            Remembered::Token(held) => self.is_lively(held, now),
            Remembered::Denial(_) => true,
        });
        match (found, self.refused(question)) {
            (None, Some(refused)) => self.cache.get(refused, now).await,
            (found, _) => found,
        }
    }

    /// Whether the rest of its life covers what the client will assume, and the margin.
    fn is_lively(&self, held: &Held, now: Timestamp) -> bool {
        let assumed = match held.expires_in {
            // Passed on as it came, it says again what was true when it came.
            Some(seconds) if !self.announce_lifetime => seconds.max(repair::ASSUMED_LIFE),
            _ => repair::ASSUMED_LIFE,
        };
        held.remaining(now) >= assumed.saturating_add(repair::MARGIN)
    }

    /// Asks the authority and remembers what it said. Runs as a task of its own.
    async fn fetch(self: Arc<Self>, question: Question, query: TokenQuery, key: Option<Key>) -> Fetched {
        if let Some(key) = key
            && let Some(remembered) = self.recall(key, &question).await
        {
            // Somebody else's fetch ended between this request's look into the cache and its take-off.
            return remembered.into();
        }
        let authorization = question.authorization.as_ref().map(HeaderValue::as_bytes);
        let credential = self.keyer.credential(self.authority.name(), authorization);
        match self.authority.ask(&question).await {
            Answer::Granted(granted) => {
                let now = self.clock.now();
                self.remember_credential(&granted, credential, &question, query, now);
                let held = Arc::new(held(*granted, now));
                let lively = held.remaining(now) >= repair::SHORTEST_LIFE;
                if let Some(key) = key.filter(|_| lively) {
                    let owner = question.authorization.is_some().then_some(credential);
                    self.cache.hold(key, owner, Arc::clone(&held)).await;
                }
                Fetched::Token(held, lively)
            }
            Answer::Opaque { body, .. } => Fetched::Opaque(body),
            Answer::Denied(refusal) => {
                let refusal = Arc::new(refusal);
                if refusal.status == StatusCode::UNAUTHORIZED
                    && let Some(refused) = self.refused(&question)
                {
                    self.cache.forget(credential).await;
                    // A job with a dead credential asks for twenty images, and authorities ban by the count of 401s.
                    self.cache.deny(refused, Arc::clone(&refusal), self.clock.now()).await;
                }
                if let Some(key) = key {
                    self.cache.deny(key, Arc::clone(&refusal), self.clock.now()).await;
                }
                Fetched::Refused(refusal)
            }
            Answer::Passed(refusal) => Fetched::Refused(Arc::new(refusal)),
            Answer::Throttled { retry_after } => Fetched::Throttled(retry_after),
            Answer::Unreachable { why, retry_after } => Fetched::Unreachable(why, retry_after),
        }
    }

    /// Keeps, sealed, what obtained a token with `push`: a push that outlives the token is asked about with it.
    fn remember_credential(
        &self,
        granted: &Granted,
        credential: Key,
        question: &Question,
        query: TokenQuery,
        now: Timestamp,
    ) {
        let claims = granted.signed.claims();
        let pushes = |action: &Action| matches!(action, Action::Push | Action::Any);
        if !claims.access.iter().any(|access| access.actions.iter().any(pushes)) {
            return;
        }
        let client: IpAddr = question.asker.address;
        let authorization = question.authorization.clone();
        let what = Credential { authorization, service: query.service, account: query.account, client };
        let honoured = granted.signed.lives_until();
        let token = self.keyer.token(granted.token.expose());
        if self.credentials.keep(token, credential, &what, honoured, now).is_err() {
            self.metrics.limit_hit(Limit::Credentials);
            if self.crowded.due() {
                tracing::warn!(
                    authority = self.authority.name(),
                    "the store of credentials is full: a push is not kept"
                );
            }
        }
    }

    /// What the client gets. `key` names what else may be at hand when the authority could not be asked.
    async fn answer(
        &self,
        fetched: Option<Fetched>,
        key: Option<Key>,
        cache: Option<CacheResult>,
        request: &TokenRequest,
    ) -> Issued {
        let fetched = fetched.unwrap_or(Fetched::Unreachable(Unreachable::GivenUp, None));
        if let (Fetched::Throttled(_) | Fetched::Unreachable(..), Some(key)) = (&fetched, key)
            && let Some(Remembered::Token(held)) = self.cache.get(key, self.clock.now()).await
        {
            return Issued::Token(self.token(&held, Handing::Stale, cache, request));
        }
        match fetched {
            Fetched::Token(held, true) => Issued::Token(self.token(&held, Handing::Lively, cache, request)),
            Fetched::Token(held, false) => Issued::Token(self.token(&held, Handing::AsItCame, cache, request)),
            Fetched::Opaque(body) => Issued::Token(IssuedToken {
                body: in_variant(body.expose(), request.variant),
                cache,
                verified: false,
                subject: None,
                auth_type: None,
                remaining: None,
            }),
            Fetched::Refused(refusal) => Issued::Refused { refusal, cache },
            Fetched::Throttled(retry_after) => Issued::Throttled { retry_after },
            Fetched::Unreachable(why, retry_after) => Issued::Unavailable { why, retry_after },
        }
    }

    fn token(&self, held: &Held, handing: Handing, cache: Option<CacheResult>, request: &TokenRequest) -> IssuedToken {
        let remaining = held.remaining(self.clock.now());
        let body = held.body.expose();
        // What the authority once said of the token's life is no longer true of a stale one.
        let outdated = handing == Handing::Stale && held.expires_in.is_some();
        let repaired = match handing {
            Handing::Lively | Handing::Stale if self.announce_lifetime => {
                repair::repaired(body, repair::announced(remaining, request.renew)).ok()
            }
            Handing::Stale if outdated => repair::repaired(body, None).ok(),
            Handing::Lively | Handing::AsItCame | Handing::Stale => None,
        };
        IssuedToken {
            body: repaired.map_or_else(|| in_variant(body, request.variant), Secret::new),
            cache,
            verified: true,
            subject: held.subject.clone(),
            auth_type: held.auth_type.clone(),
            remaining: Some(remaining),
        }
    }
}

impl From<Remembered> for Fetched {
    fn from(remembered: Remembered) -> Self {
        match remembered {
            Remembered::Token(held) => Self::Token(held, true),
            Remembered::Denial(refusal) => Self::Refused(refusal),
        }
    }
}

fn held(granted: Granted, now: Timestamp) -> Held {
    let claims = granted.signed.claims();
    // A token that is not valid yet has no life to hand out. One that was issued ahead of our clock lives no longer
    // for it: the registry's clock is the authority's rather than ours.
    let living = matches!(granted.signed.at(now), Ok(Standing::Living(_)));
    let from = claims.issued_at.map_or(now, |issued| issued.max(now));
    let life = if living { claims.expires.until(from) } else { Duration::ZERO };
    Held {
        expires: claims.expires,
        obtained: Instant::now(),
        life,
        subject: claims.subject.clone(),
        auth_type: claims.auth_type.clone(),
        expires_in: granted.expires_in,
        body: granted.body,
    }
}

/// The answer as it came, but for the name that the OAuth2 variant requires.
fn in_variant(body: &[u8], variant: Variant) -> Secret {
    let named = match variant {
        Variant::Docker => None,
        Variant::OAuth2 => repair::oauth2(body).ok(),
    };
    Secret::new(named.unwrap_or_else(|| body.to_vec()))
}

/// Wipes what nothing depends on any more, for as long as the service is there.
async fn sweep(service: Weak<Inner>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(service) = service.upgrade() else { return };
        let now = service.clock.now();
        service.credentials.sweep(now);
        service.renewals.sweep(now);
    }
}

#[cfg(test)]
mod tests;
