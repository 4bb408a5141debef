//! From what was typed to what it means: every module's settings, or every mistake.
//!
//! ```text
//! File ─▶ Lowering ─┬─ sites   authorities, sites, renew        ┐
//!                   ├─ certs   pairs, roots, dates, signing key ├─▶ Settings
//!                   └─ files   reading, modes, ticket keys      ┘
//! ```
//!
//! A part that cannot be lowered is complained of and left out, and the others are lowered all the same. It must never
//! put the content of a file into a complaint: some of them are keys.

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use tracing_subscriber::EnvFilter;

use super::Settings;
use super::file::File;
use super::item::At;
use super::problem::{Place, Problems, Reporter};
use super::section::Section;
use super::words::{nearest, quoted};
use crate::base::clock::Timestamp;
use crate::policy::Renew;
use crate::{admin, issuance, policy, server, telemetry};

mod certs;
mod files;
mod sites;

type Certificate = CertificateDer<'static>;

/// Words of `log.level`.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Lowers a file that could be read. `base` is the folder that paths are relative to.
///
/// # Errors
/// Every problem, when one of them is an error.
pub(super) fn lower(file: &File, base: &Path, now: Timestamp, reporter: Reporter<'_>) -> Result<Settings, Problems> {
    let mut lowering = Lowering { base, now, reporter };
    let settings = lowering.whole(file);
    let failed = lowering.reporter.failed();
    let problems = lowering.reporter.finish();
    match settings {
        Some(settings) if !failed => Ok(Settings { warnings: problems, ..settings }),
        _ => Err(problems),
    }
}

struct Lowering<'a> {
    base: &'a Path,
    now: Timestamp,
    reporter: Reporter<'a>,
}

impl Lowering<'_> {
    fn whole(&mut self, file: &File) -> Option<Settings> {
        let server = self.server(file);
        let trusted_proxies = self.networks(file.listeners.public.trusted_proxies.as_ref());
        let admin = self.admin(file);
        let authorities = self.authorities(file);
        let signing = file.signing.as_ref().map(|signing| self.minter(signing));
        let sites = self.sites(file);
        let ticket_keys = self.ticket_keys(file, &sites);
        let log = self.log(file);
        Some(Settings {
            server: server?,
            trusted_proxies,
            admin,
            authorities,
            sites,
            signing: transposed(signing)?,
            tokens: issuance::Settings {
                cache: file.tokens.cache.value.0,
                negative_ttl: file.tokens.negative_ttl.value.0,
                announce_lifetime: file.tokens.announce_lifetime.value,
            },
            ticket_keys,
            push: push(file),
            log,
            warnings: Problems::default(),
        })
    }

    fn server(&mut self, file: &File) -> Option<server::Settings> {
        let public = &file.listeners.public;
        let tls = public.tls.as_ref().map(|tls| self.certificates_served(tls));
        let proxy_protocol = public.proxy_protocol.as_ref().and_then(|protocol| protocol.value.from.as_ref());
        let proxy_protocol = self.networks(proxy_protocol);
        let (limits, timeouts) = (&file.limits, &file.timeouts);
        Some(server::Settings {
            address: public.address.as_ref()?.value,
            tls: transposed(tls)?,
            proxy_protocol,
            connections: size(limits.connections.value.into()),
            connections_per_address: size(limits.connections_per_address.value.into()),
            header_bytes: size(limits.header_bytes.value.0),
            headers: size(limits.headers.value.into()),
            buffer_bytes: size(limits.buffer_bytes.value.0),
            h2_streams: limits.h2_streams.value,
            handshake: timeouts.handshake.value.0,
            request_head: timeouts.request_head.value.0,
            idle: timeouts.idle.value.0,
            keep_alive: timeouts.keep_alive.value.0,
            min_rate: limits.min_rate.value.0,
            refused_body: (limits.drain_bytes.value.0, timeouts.drain.value.0),
            drain_timeout: file.drain.timeout.value.0,
            drain_delay: file.drain.delay.value.0,
        })
    }

    fn certificates_served(
        &mut self,
        tls: &At<super::inline::Tls>,
    ) -> Option<Vec<std::sync::Arc<rustls::sign::CertifiedKey>>> {
        let pairs = &tls.value.0;
        if pairs.is_empty() && !self.reporter.spoke_of(&tls.place.key) {
            self.reporter.error(&tls.place, "no certificate", "write at least one, or remove `tls` for plain HTTP");
        }
        let served: Vec<_> = pairs.iter().filter_map(|pair| self.served(pair)).collect();
        (served.len() == pairs.len() && !served.is_empty()).then_some(served)
    }

    fn networks(&mut self, networks: Option<&At<Vec<At<IpNet>>>>) -> Vec<IpNet> {
        let Some(networks) = networks else { return Vec::new() };
        for network in &networks.value {
            if network.value.prefix_len() == 0 {
                let what = format!("{} is everybody: any client can say that it is another", network.value);
                self.reporter.warn(&network.place, what, "name the networks of your proxies");
            }
        }
        networks.value.iter().map(|network| network.value.trunc()).collect()
    }

    fn admin(&mut self, file: &File) -> Option<admin::Settings> {
        let address = file.listeners.admin.as_ref()?.address.as_ref()?;
        if file.listeners.public.address.as_ref().is_some_and(|public| same_socket(public.value, address.value)) {
            self.reporter.error(&address.place, "the public listener has this address", "write another port");
        } else if !address.value.ip().is_loopback() {
            let what = "metrics and state can be read by whoever reaches this address";
            self.reporter.warn(&address.place, what, "listen on `127.0.0.1`, or let only operators reach it");
        }
        Some(admin::Settings { address: address.value })
    }

    fn ticket_keys(&mut self, file: &File, sites: &[crate::gateway::SiteSettings]) -> Vec<crate::base::secret::Secret> {
        let Some(paths) = &file.tickets.keys else {
            let needed = sites.iter().any(|site| site.registry.is_some() && site.renew != Renew::Off);
            if needed && !self.spoken_of(file.tickets.place(), "keys") {
                let place = file.tickets.place().child("keys", file.tickets.place().span.clone());
                let what = "left out, so made at start: pushes survive neither a restart nor a second replica";
                let instead =
                    "make one with `(umask 077; tidegate keys ticket > tickets.key)` and name it in `[tickets] keys`";
                self.reporter.warn(&place, what, instead);
            }
            return Vec::new();
        };
        if paths.value.is_empty() && !self.reporter.spoke_of(&paths.place.key) {
            self.reporter.error(&paths.place, "an empty list", "name at least one file, or remove the key");
        }
        paths.value.iter().filter_map(|path| self.ticket_key(path)).collect()
    }

    fn log(&mut self, file: &File) -> telemetry::log::Settings {
        let level = &file.log.level;
        // A filter takes a lone word that is no level for the name of a module, and then shows nothing else.
        let lone = level.value.split(',').map(|part| part.rsplit('=').next().unwrap_or_default().trim());
        let unknown = lone.clone().find(|word| !word.contains(['[', ']', '{', '}']) && !is_level(word));
        if let Some(word) = unknown {
            let instead = match nearest(word, &LEVELS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write one of {}", quoted(&LEVELS)),
            };
            self.reporter.error(&level.place, format!("`{word}` is no level"), instead);
        } else if EnvFilter::try_new(&level.value).is_err() {
            self.reporter.error(&level.place, "not a filter", "write a level, or as in `info,tidegate::gateway=debug`");
        }
        telemetry::log::Settings { format: file.log.format.value, level: level.value.clone() }
    }

    /// Whether a key is absent, and not merely absent because its value was complained of.
    fn left_out<T>(&self, value: &Option<T>, section: &Place, name: &str) -> bool {
        value.is_none() && !self.spoken_of(section, name)
    }

    fn spoken_of(&self, section: &Place, name: &str) -> bool {
        self.reporter.spoke_of(&section.child(name, 0..0).key)
    }

    fn root_spoken_of(&self, name: &str) -> bool {
        self.reporter.spoke_of(name)
    }
}

/// A part that was there and could not be lowered makes the whole unusable; one that was left out does not.
fn transposed<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    part.map_or(Some(None), |part| part.map(Some))
}

fn push(file: &File) -> policy::PushSettings {
    let push = &file.push;
    policy::PushSettings {
        max_session: push.max_session.value.0,
        max_unverified: push.max_unverified.as_ref().unwrap_or(&push.max_session).value.0,
        reverify: push.reverify.value.0,
        exchange_margin: push.exchange_margin.value.0,
        on_authority_down: push.on_authority_down.value,
    }
}

fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
}

/// Port 0 is a new port each time.
fn same_socket(one: SocketAddr, other: SocketAddr) -> bool {
    one == other && one.port() != 0
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
