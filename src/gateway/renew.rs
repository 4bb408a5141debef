//! Phase 5: the token the registry is shown.

use std::time::Duration;

use aws_lc_rs::digest;
use moka::sync::Cache;

use super::respond::Stop;
use super::site::Site;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::issuance::renewal::ExchangeError;
use crate::oci::access::Needed;
use crate::oci::route::Route;
use crate::oci::scope;
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
pub struct MintedTokens(Cache<[u8; 32], Minted>);

impl MintedTokens {
    /// A cache of at most `bytes`.
    #[must_use]
    pub fn new(bytes: u64, ttl: Duration) -> Self {
        let weigher = |_: &[u8; 32], minted: &Minted| {
            u32::try_from(minted.token.expose().len().saturating_add(128)).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(bytes).weigher(weigher).time_to_live(ttl).build())
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
    has_body: bool,
) -> Result<Secret, Stop> {
    match site.renew {
        Renew::Resign => minted(site, permit, presented, has_body).await,
        Renew::Exchange => exchanged(site, permit, route, presented).await,
        Renew::Off => Ok(client(site, presented)),
    }
}

fn client(site: &Site, presented: &Secret) -> Secret {
    site.metrics.registry_token(TokenSource::Client);
    presented.clone()
}

async fn minted(site: &Site, permit: &Permit, presented: &Secret, has_body: bool) -> Result<Secret, Stop> {
    let now = site.clock.now();
    let key = cache_key(presented, permit.needed());
    if let Some(minted) = site.minted.0.get(&key).filter(|minted| is_fresh(minted, has_body, now)) {
        site.metrics.registry_token(TokenSource::Cached);
        return Ok(minted.token);
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
    let minted = minted.map_err(Stop::Sign)?;
    site.metrics.registry_token(TokenSource::Minted);
    site.minted.0.insert(key, minted.clone());
    Ok(minted.token)
}

/// With a body at most a minute old; without one, half of its life is enough. A clock that went back is no clock to
/// trust a cached token by.
fn is_fresh(minted: &Minted, has_body: bool, now: Timestamp) -> bool {
    let (age, life) = (now.since(minted.issued_at), minted.expires.since(minted.issued_at));
    let half = life / 2;
    let oldest = if has_body { half.min(i64::try_from(FRESH.as_secs()).unwrap_or(0)) } else { half };
    (0..=oldest).contains(&age) && now < minted.expires
}

fn cache_key(presented: &Secret, needed: &Needed) -> [u8; 32] {
    let access = match needed {
        Needed::AnyToken => String::new(),
        Needed::WholeToken => "*".to_owned(),
        Needed::Resources(resources) => scope::write(resources),
    };
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(presented.expose().len() as u64).to_be_bytes());
    context.update(presented.expose());
    context.update(access.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

async fn exchanged(site: &Site, permit: &Permit, route: &Route, presented: &Secret) -> Result<Secret, Stop> {
    let now = site.clock.now();
    let rescue = permit.is_rescue();
    let soon = permit.claims().expires.since(now) < i64::try_from(site.push.exchange_margin.as_secs()).unwrap_or(0);
    let is_wanted = rescue || (super::uploads::is_step(route) && soon);
    if !is_wanted {
        return Ok(client(site, presented));
    }
    // Asked for: what the request needs, which the permit says the old token granted.
    let asked =
        site.tokens.exchange(presented.expose(), permit.claims(), permit.identity(), permit.needed().resources(), now);
    match asked.await {
        Ok(exchanged) => {
            site.metrics.registry_token(TokenSource::Exchanged);
            Ok(exchanged.token)
        }
        // A living token still opens the door by itself.
        Err(_) if !rescue => Ok(client(site, presented)),
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
mod tests {
    use super::*;
    use crate::oci::access::{Action, ResourceActions};

    fn minted(issued: i64) -> Minted {
        Minted { token: Secret::new(vec![1]), issued_at: Timestamp(issued), expires: Timestamp(issued + 600) }
    }

    #[test]
    fn a_request_with_a_body_gets_a_token_of_at_most_a_minute() {
        assert!(is_fresh(&minted(1_000), true, Timestamp(1_060)));
        assert!(!is_fresh(&minted(1_000), true, Timestamp(1_061)));
    }

    #[test]
    fn a_request_without_a_body_gets_one_with_half_its_life_left() {
        assert!(is_fresh(&minted(1_000), false, Timestamp(1_300)));
        assert!(!is_fresh(&minted(1_000), false, Timestamp(1_301)));
    }

    #[test]
    fn a_clock_that_went_back_makes_no_cached_token_good() {
        assert!(!is_fresh(&minted(1_000), false, Timestamp(999)));
    }

    #[test]
    fn a_token_that_ends_as_it_begins_is_never_fresh() {
        let stillborn = Minted { expires: Timestamp(1_000), ..minted(1_000) };
        assert!(!is_fresh(&stillborn, false, Timestamp(1_000)));
    }

    #[test]
    fn tokens_and_accesses_never_share_a_key() {
        let pull = Needed::Resources(vec![ResourceActions::repository("g/p", &[Action::Pull])]);
        let keys = [
            cache_key(&Secret::new(b"one".to_vec()), &Needed::AnyToken),
            cache_key(&Secret::new(b"one*".to_vec()), &Needed::AnyToken),
            cache_key(&Secret::new(b"one".to_vec()), &Needed::WholeToken),
            cache_key(&Secret::new(b"one".to_vec()), &pull),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(key));
        }
    }
}
