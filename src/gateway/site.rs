//! One site, as all cores share it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderValue;

use super::authenticate::Authenticator;
use super::headers::ClientOrigin;
use super::renew::MintedTokens;
use super::uploads::Uploads;
use super::{Redirects, SiteSettings};
use crate::base::clock::Clock;
use crate::issuance::service::TokenService;
use crate::policy::{PushSettings, Renew};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::seldom::Seldom;
use crate::token::minter::Minter;
use crate::upload::ring::TicketRing;

/// The token endpoint's path where the file names none.
pub const TOKEN_PATH: &str = "/jwt/auth";

/// What a site is made of; the connections to its registry belong to each core.
#[derive(Debug)]
pub struct Site {
    /// `host`, `host:port` or `*`.
    pub name: Arc<str>,
    /// What takes the place of a client token that is not enough.
    pub renew: Renew,
    /// Checks client tokens.
    pub authenticator: Arc<Authenticator>,
    /// Obtains tokens, and asks again.
    pub tokens: Arc<TokenService>,
    /// Signs registry tokens; present with [`Renew::Resign`].
    pub minter: Option<Minter>,
    /// Registry tokens that were signed.
    pub minted: Arc<MintedTokens>,
    /// Seals uploads into their Locations.
    pub tickets: TicketRing,
    /// Uploads that are open here.
    pub uploads: Arc<Uploads>,
    /// `[push]`
    pub push: PushSettings,
    /// Where a 307 may lead.
    pub redirects: Redirects,
    /// The Host the registry is shown, where it is not the client's.
    pub host: Option<HeaderValue>,
    /// The realm, where the file names one.
    pub realm: Option<http::Uri>,
    /// `timeouts.response` and `timeouts.idle` of the registry.
    pub response: std::time::Duration,
    /// See `response`.
    pub idle: std::time::Duration,
    /// Whether no new upload may begin.
    pub leaving: Arc<AtomicBool>,
    /// The registry's refusals of our own tokens, which are told now and then.
    pub refused: Seldom,
    /// Wall time.
    pub clock: Clock,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Site {
    /// The realm of challenges: the file's, else the token path on the host that was asked.
    #[must_use]
    pub fn realm(&self, client: &ClientOrigin) -> String {
        match (&self.realm, &client.host) {
            (Some(realm), _) => realm.to_string(),
            (None, Some(host)) => format!("{}://{host}{TOKEN_PATH}", client.scheme()),
            (None, None) => format!("{}://{}{TOKEN_PATH}", client.scheme(), self.name),
        }
    }
}

/// The path of a site's token endpoint.
#[must_use]
pub fn token_path(settings: &SiteSettings) -> &str {
    settings.realm.as_ref().map_or(TOKEN_PATH, http::Uri::path)
}
