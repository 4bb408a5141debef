//! Phase 5: the token the registry is shown.

use std::time::Duration;

use http::HeaderValue;
use moka::sync::Cache;

use super::respond::Stop;
use super::site::Site;
use crate::base::clock::Timestamp;
use crate::base::fingerprint::{Fingerprint, FingerprintHasher};
use crate::base::secret::Secret;
use crate::issuance::renewal::ExchangeError;
use crate::oci::access::Needed;
use crate::oci::credentials::Credentials;
use crate::oci::route::Route;
use crate::policy::Renew;
use crate::policy::decide::Refusal;
use crate::policy::permit::Permit;
use crate::telemetry::labels::TokenSource;
use crate::token::minter::{Minted, MinterError};

/// How old a minted token may be that goes with a body: a hop behind us may spool the body, and the registry looks at
/// the token only when the last byte has arrived.
const FRESH: Duration = Duration::from_secs(60);

/// Minted tokens by source token and access.
#[derive(Debug)]
pub struct MintedTokens(Cache<Fingerprint, Signed, FingerprintHasher>);

/// A minted token, ready to be shown.
#[derive(Clone, Debug)]
struct Signed {
    bearer: HeaderValue,
    issued_at: Timestamp,
    expires: Timestamp,
}

impl MintedTokens {
    /// A cache of at most `bytes`.
    #[must_use]
    pub fn new(bytes: u64, ttl: Duration) -> Self {
        let weigher = |_: &Fingerprint, signed: &Signed| {
            u32::try_from(signed.bearer.len().saturating_add(128)).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(bytes)
                .weigher(weigher)
                .time_to_live(ttl)
                .build_with_hasher(FingerprintHasher::default()),
        )
    }
}

/// Mints, exchanges, or takes the client's own.
///
/// # Errors
/// [`Stop`] when nothing can be shown to the registry.
///
/// # Cancel safety
/// May be dropped; a token that was asked for is kept for the next request.
pub async fn registry_token(
    site: &Site,
    permit: &Permit,
    route: &Route,
    presented: &Secret,
    digest: Fingerprint,
    has_body: bool,
) -> Result<HeaderValue, Stop> {
    match site.renew {
        Renew::Resign => minted(site, permit, digest, has_body).await,
        Renew::Exchange => Box::pin(exchanged(site, permit, route, presented)).await,
        Renew::Off => client(site, presented),
    }
}

fn client(site: &Site, presented: &Secret) -> Result<HeaderValue, Stop> {
    site.metrics.registry_token(TokenSource::Client);
    bearer(presented)
}

fn bearer(token: &Secret) -> Result<HeaderValue, Stop> {
    Credentials::bearer(token).ok_or(Stop::Sign(MinterError::Sign))
}

async fn minted(site: &Site, permit: &Permit, digest: Fingerprint, has_body: bool) -> Result<HeaderValue, Stop> {
    let now = site.clock.now();
    let key = cache_key(digest, permit.needed());
    if let Some(signed) = site.minted.0.get(&key).filter(|signed| is_fresh(signed, has_body, now)) {
        site.metrics.registry_token(TokenSource::Cached);
        return Ok(signed.bearer);
    }
    let minter = site.minter.clone().ok_or(Stop::Sign(MinterError::Key))?;
    let (claims, access) = (permit.claims(), permit.access());
    let service = &site.authenticator.verifier().service;
    let minted = if minter.is_costly() {
        // An RSA signature takes a millisecond: not on the core that moves other clients' bytes.
        let (claims, service) = (claims.clone(), service.clone());
        tokio::task::spawn_blocking(move || minter.mint(&claims, &service, &access, now))
            .await
            .map_err(|_| Stop::Sign(MinterError::Sign))?
    } else {
        minter.mint(claims, service, &access, now)
    };
    let Minted { token, issued_at, expires } = minted.map_err(Stop::Sign)?;
    site.metrics.registry_token(TokenSource::Minted);
    let bearer = bearer(&token)?;
    site.minted.0.insert(key, Signed { bearer: bearer.clone(), issued_at, expires });
    Ok(bearer)
}

/// With a body at most a minute old; without one, half of its life is enough. A clock that went back is no clock to
/// trust a cached token by.
fn is_fresh(minted: &Signed, has_body: bool, now: Timestamp) -> bool {
    let (age, life) = (now.since(minted.issued_at), minted.expires.since(minted.issued_at));
    let half = life / 2;
    let oldest = if has_body { half.min(i64::try_from(FRESH.as_secs()).unwrap_or(0)) } else { half };
    (0..=oldest).contains(&age) && now < minted.expires
}

/// By the token, whose digest is of one length, and the access.
fn cache_key(presented: Fingerprint, needed: &Needed) -> Fingerprint {
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(&presented.0);
    match needed {
        Needed::AnyToken => {}
        Needed::WholeToken => text.push(b'*'),
        Needed::Resources(resources) => {
            for resource in resources {
                // No part holds a byte that ends one.
                for part in [&resource.kind, &resource.class, &resource.name] {
                    text.extend_from_slice(part.as_bytes());
                    text.push(0);
                }
                for action in &resource.actions {
                    text.extend_from_slice(action.as_str().as_bytes());
                    text.push(1);
                }
                text.push(0);
            }
        }
    }
    Fingerprint::of(&text)
}

async fn exchanged(site: &Site, permit: &Permit, route: &Route, presented: &Secret) -> Result<HeaderValue, Stop> {
    let now = site.clock.now();
    let rescue = permit.is_rescue();
    let soon = permit.claims().expires.since(now) < i64::try_from(site.push.exchange_margin.as_secs()).unwrap_or(0);
    let is_wanted = rescue || (super::uploads::is_step(route) && soon);
    if !is_wanted {
        return client(site, presented);
    }
    // Asked for: what the request needs, which the permit says the old token granted.
    let asked =
        site.tokens.exchange(presented.expose(), permit.claims(), permit.identity(), permit.needed().resources(), now);
    match asked.await {
        Ok(exchanged) => {
            site.metrics.registry_token(TokenSource::Exchanged);
            bearer(&exchanged.token)
        }
        // A living token still opens the door by itself.
        Err(_) if !rescue => client(site, presented),
        Err(error) => Err(Stop::Refused(refusal(error), permit.needed().clone())),
    }
}

fn refusal(error: ExchangeError) -> Refusal {
    match error {
        ExchangeError::NoCredential => Refusal::Unverified,
        ExchangeError::Unreachable => Refusal::AuthorityDown,
        ExchangeError::Revoked | ExchangeError::IdentityChanged | ExchangeError::NotGranted => Refusal::Revoked,
    }
}

#[cfg(test)]
mod tests;
