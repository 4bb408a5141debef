//! The composition root: settings in, a running gateway out.
//!
//! ```text
//! Settings ─▶ Shared ── sites, token services, caches: one of each, for all cores
//!                 └──▶ Dispatch of each core ── its own connections
//! main thread: accept loop, token fetches, admin, signals        workers: everything a connection needs
//! ```
//!
//! It must never decide anything about a request: it only puts together those who do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ipnet::IpNet;

use crate::base::clock::Clock;
use crate::config;
use crate::endpoints::proxy::Proxy;
use crate::endpoints::token::TokenEndpoint;
use crate::gateway::authenticate::Authenticator;
use crate::gateway::renew::MintedTokens;
use crate::gateway::site::{Site, token_path};
use crate::gateway::uploads::Uploads;
use crate::gateway::{Redirects, SiteSettings};
use crate::issuance::service::TokenService;
use crate::policy::PushSettings;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::seldom::Seldom;
use crate::token::minter::Minter;
use crate::upload::ring::TicketRing;
use crate::upstream;
use crate::upstream::connector::Connector;
use crate::upstream::origins::{Origin, Origins};
use crate::upstream::registry::Registry;

pub mod dispatch;
pub mod recover;
pub mod serve;

use dispatch::{Dispatch, Doors};

/// Why a gateway cannot be put together, though its configuration reads well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An authority's client.
    #[error("authority `{name}`")]
    Authority {
        /// The authority.
        name: String,
        /// What went wrong.
        source: crate::issuance::service::Error,
    },
    /// A registry's or a web host's client.
    #[error("site `{site}`")]
    Upstream {
        /// The site.
        site: String,
        /// What went wrong.
        source: upstream::Error,
    },
    /// The ticket keys.
    #[error("tickets")]
    Tickets(#[from] crate::upload::ring::RingError),
    /// The listener.
    #[error("the public listener")]
    Server(#[from] crate::server::Error),
    /// The admin listener.
    #[error("the admin listener")]
    Admin(#[from] crate::admin::Error),
    /// The signals that end the process.
    #[error("signals cannot be waited for")]
    Signals(#[source] std::io::Error),
}

/// What all cores share.
#[derive(Debug)]
pub struct Shared {
    sites: Vec<Part>,
    trusted: Vec<IpNet>,
}

/// A site, and what its cores need to connect.
#[derive(Debug)]
struct Part {
    site: Arc<Site>,
    token_path: String,
    registry: Option<(Connector, upstream::Settings, Arc<Origins>)>,
    proxy: Option<Proxied>,
}

#[derive(Debug)]
struct Proxied {
    connector: Connector,
    settings: upstream::Settings,
}

/// What sites are made from.
struct Ground {
    clock: Clock,
    metrics: Arc<Metrics>,
    leaving: Arc<AtomicBool>,
    minter: Option<Minter>,
    push: PushSettings,
    tickets: TicketRing,
    minted: Arc<MintedTokens>,
    services: BTreeMap<String, (Arc<TokenService>, Arc<Authenticator>)>,
}

impl Shared {
    /// Puts together what a configuration says. Token fetches run on `handle`.
    ///
    /// # Errors
    /// [`Error`]
    pub fn new(
        settings: config::Settings,
        clock: Clock,
        metrics: &Arc<Metrics>,
        leaving: Arc<AtomicBool>,
        handle: &tokio::runtime::Handle,
    ) -> Result<Self, Error> {
        let tickets = if settings.ticket_keys.is_empty() {
            TicketRing::ephemeral()?
        } else {
            TicketRing::new(settings.ticket_keys)?
        };
        let mut services = BTreeMap::new();
        for (name, authority) in settings.authorities {
            let verifier = authority.verifier.clone();
            let made = TokenService::new(
                authority,
                &settings.tokens,
                &settings.push,
                clock.clone(),
                Arc::clone(metrics),
                handle.clone(),
            );
            let service = made.map_err(|source| Error::Authority { name: name.clone(), source })?;
            let authenticator = Arc::new(Authenticator::new(verifier, settings.tokens.cache));
            services.insert(name, (Arc::new(service), authenticator));
        }
        let ttl = settings.signing.as_ref().map_or(Duration::ZERO, Minter::ttl);
        let ground = Ground {
            clock,
            metrics: Arc::clone(metrics),
            leaving,
            minter: settings.signing,
            push: settings.push,
            tickets,
            minted: Arc::new(MintedTokens::new(settings.tokens.cache, ttl)),
            services,
        };
        let sites =
            settings.sites.into_iter().filter_map(|site| ground.part(site).transpose()).collect::<Result<_, _>>()?;
        Ok(Self { sites, trusted: settings.trusted_proxies })
    }

    /// Every origin of every site, and what connects to it.
    fn origins(&self) -> impl Iterator<Item = (&str, &Connector, &Arc<Origin>)> {
        self.sites.iter().flat_map(|part| {
            let registry = part.registry.iter();
            let origins = registry.flat_map(|(connector, _, origins)| origins.iter().map(move |it| (connector, it)));
            origins.map(|(connector, origin)| (&*part.site.name, connector, origin))
        })
    }

    /// Whether there are registries and none of them can be reached: clients are better served elsewhere.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        let mut origins = self.origins().peekable();
        origins.peek().is_some() && origins.all(|(_, _, origin)| !origin.is_up())
    }

    /// The service of one core, to be called on it.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        let doors = self.sites.iter().map(|part| Doors {
            site: Arc::clone(&part.site),
            token_path: part.token_path.clone(),
            tokens: TokenEndpoint::new(Arc::clone(&part.site.tokens), part.site.renew),
            registry: part
                .registry
                .as_ref()
                .map(|(connector, settings, origins)| Registry::new(connector.clone(), settings, Arc::clone(origins))),
            proxy: part.proxy.as_ref().and_then(|proxied| Proxy::new(proxied.connector.clone(), &proxied.settings)),
        });
        Dispatch::new(doors.collect(), self.trusted.clone())
    }
}

impl Ground {
    /// One site. `None` for an authority that does not exist, which the configuration has refused already.
    fn part(&self, settings: SiteSettings) -> Result<Option<Part>, Error> {
        let Some((tokens, authenticator)) = self.services.get(&settings.authority) else { return Ok(None) };
        let token_path = token_path(&settings).to_owned();
        let named = |source| Error::Upstream { site: settings.host.clone(), source };
        let registry = settings.registry;
        let (response, idle) = registry
            .as_ref()
            .map_or((Duration::ZERO, Duration::ZERO), |registry| (registry.upstream.response, registry.upstream.idle));
        let site = Arc::new(Site {
            name: Arc::from(settings.host.as_str()),
            renew: settings.renew,
            authenticator: Arc::clone(authenticator),
            tokens: Arc::clone(tokens),
            minter: self.minter.clone(),
            minted: Arc::clone(&self.minted),
            tickets: self.tickets.clone(),
            uploads: Arc::new(Uploads::default()),
            push: self.push.clone(),
            redirects: registry.as_ref().map_or(Redirects::Pass, |registry| registry.redirects.clone()),
            host: registry.as_ref().and_then(|registry| registry.host.clone()),
            realm: settings.realm.clone(),
            response,
            idle,
            leaving: Arc::clone(&self.leaving),
            refused: Seldom::default(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
        });
        let registry = match registry {
            Some(registry) => {
                let connector = Connector::new(&registry.upstream).map_err(named)?;
                let origins = Arc::new(Origins::new(&registry.upstream.origins));
                for origin in origins.iter() {
                    self.metrics.origin_up(&site.name, &origin.name, true);
                }
                Some((connector, registry.upstream, origins))
            }
            None => None,
        };
        let proxy = match settings.proxy {
            Some(settings) => Some(Proxied { connector: Connector::new(&settings).map_err(named)?, settings }),
            None => None,
        };
        Ok(Some(Part { site, token_path, registry, proxy }))
    }
}
