//! Authorities and sites: who decides, and what stands behind the door.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use http::Uri;

use super::{Certificate, Lowering, size, transposed};
use crate::authority::gitlab;
use crate::config::defaults::{TOKEN_PATH, UPSTREAM_KEEP_ALIVE};
use crate::config::file::{Authority, File, Registry, Site, Timeouts};
use crate::config::inline::Proxy;
use crate::config::item::At;
use crate::config::problem::Place;
use crate::config::section::Section;
use crate::config::value::{HostName, Origin, Url};
use crate::config::words::{nearest, quoted};
use crate::gateway::{RegistrySettings, SiteSettings};
use crate::policy::Renew;
use crate::token::verifier::Verifier;
use crate::upstream;

/// The site for hosts that no other names.
const EVERY_OTHER: &str = "*";

/// Longest name of an authority: it is a metric label.
const NAME_MOST: usize = 64;

impl Lowering<'_> {
    /// `[authorities.*]`
    pub(super) fn authorities(&mut self, file: &File) -> BTreeMap<String, gitlab::Settings> {
        let mut all = BTreeMap::new();
        for (name, authority) in &file.authorities {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            if name.value.is_empty() || name.value.len() > NAME_MOST || !name.value.bytes().all(plain) {
                let instead = "use letters, digits, `-` and `_`, at most 64: the name is a label of metrics";
                self.reporter.error(&name.place, "not a name", instead);
            }
            if let Some(settings) = self.authority(&name.value, authority, &file.timeouts) {
                all.insert(name.value.clone(), settings);
            }
        }
        all
    }

    /// `[sites.*]`
    pub(super) fn sites(&mut self, file: &File) -> Vec<SiteSettings> {
        let mut hosts = BTreeSet::new();
        let mut all = Vec::new();
        for (name, site) in &file.sites {
            let host = self.host(name);
            if let Some(host) = &host
                && !hosts.insert(host.clone())
            {
                self.reporter.error(&name.place, format!("there are two sites `{host}`"), "write one");
            }
            let settings = self.site(host, &name.place, site, file);
            all.extend(settings);
        }
        self.exchange_alone(file, &all);
        all
    }

    fn authority(&mut self, name: &str, authority: &Authority, timeouts: &Timeouts) -> Option<gitlab::Settings> {
        let url = authority.url.as_ref().and_then(|url| self.token_endpoint(url, authority.ca.as_ref()));
        let roots = self.optional_roots(authority.ca.as_ref());
        let keys = authority.trusted.as_ref().and_then(|paths| self.trusted(paths));
        if authority.kind.is_none() {
            // What another kind would need is not known.
            self.reporter.forgive_missing(authority.place(), "kind");
            return None;
        }
        let verifier = Verifier {
            keys: keys?,
            issuer: authority.issuer.as_ref()?.value.clone(),
            service: authority.service.as_ref()?.value.clone(),
            leeway: authority.leeway.value.0,
        };
        Some(gitlab::Settings {
            name: name.to_owned(),
            url: url?,
            roots: roots?,
            verifier,
            timeout: timeouts.authority.value.0,
            connect: timeouts.connect.value.0,
        })
    }

    /// The URL with GitLab's path where it has none.
    fn token_endpoint(&mut self, url: &At<Url>, ca: Option<&At<PathBuf>>) -> Option<Uri> {
        let Url(uri) = &url.value;
        self.in_clear(&url.place, uri);
        self.ca_is_used(ca, std::iter::once(uri));
        if uri.path() != "/" {
            return Some(uri.clone());
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static(TOKEN_PATH));
        Uri::from_parts(parts).ok()
    }

    fn host(&mut self, name: &At<String>) -> Option<String> {
        if name.value == EVERY_OTHER {
            return Some(name.value.clone());
        }
        let host = name.value.parse::<HostName>().ok();
        if host.is_none() {
            let instead = "write the host that clients ask for, as in `[sites.\"registry.example.com\"]`, or `\"*\"`";
            self.reporter.error(&name.place, "not a host", instead);
        }
        host.map(|HostName(host)| host)
    }

    fn site(&mut self, host: Option<String>, place: &Place, site: &Site, file: &File) -> Option<SiteSettings> {
        let authority = site.authority.as_ref().filter(|authority| self.is_authority(authority, file));
        let realm = self.realm(place, site, file);
        let renew = self.renew(place, site, file);
        let registry = site.registry.as_ref().map(|registry| self.registry(registry, file));
        let proxy = site.proxy.as_ref().map(|proxy| self.proxy(&proxy.value, file));
        if registry.is_none() && self.left_out(&site.proxy, place, "proxy") && !self.spoken_of(place, "registry") {
            let instead = "write a table `registry` with `origins`, or `proxy`, or both";
            self.reporter.error(place, "nothing stands behind this site", instead);
        }
        Some(SiteSettings {
            host: host?,
            authority: authority?.value.clone(),
            realm: realm?,
            renew: renew?,
            registry: transposed(registry)?,
            proxy: transposed(proxy)?,
        })
    }

    fn is_authority(&mut self, name: &At<String>, file: &File) -> bool {
        let known: Vec<&str> = file.authorities.iter().map(|(name, _)| name.value.as_str()).collect();
        let found = known.contains(&name.value.as_str());
        if !found {
            let instead = match nearest(&name.value, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => format!("write `[authorities.{}]`", name.value),
                None => format!("write one of {}", quoted(&known)),
            };
            self.reporter.error(&name.place, format!("there is no authority `{}`", name.value), instead);
        }
        found
    }

    /// The outer `None` is «complained of», the inner «left out».
    fn realm(&mut self, place: &Place, site: &Site, file: &File) -> Option<Option<Uri>> {
        let public = &file.listeners.public;
        let Some(realm) = &site.realm else {
            let scheme_unknown = self.left_out(&public.tls, public.place(), "tls")
                && self.left_out(&public.trusted_proxies, public.place(), "trusted_proxies");
            if scheme_unknown && !self.spoken_of(place, "realm") {
                let what = "missing, and without `tls` or `trusted_proxies` Tidegate cannot know how clients reach it";
                let instead = "write the token endpoint as clients reach it, as in `realm = \"https://registry.example.com/jwt/auth\"`";
                self.reporter.error(&place.child("realm", place.span.clone()), what, instead);
                return None;
            }
            return Some(None);
        };
        let Url(uri) = &realm.value;
        let (path, instead) = (uri.path(), format!("write a path of its own, as in `{}`", with_token_path(uri)));
        if path == "/" {
            self.reporter.error(&realm.place, "a realm without a path", instead);
            return None;
        }
        if path == "/v2" || path.starts_with("/v2/") {
            self.reporter.error(&realm.place, "the paths under `/v2/` are the registry's", instead);
            return None;
        }
        Some(Some(uri.clone()))
    }

    fn renew(&mut self, place: &Place, site: &Site, file: &File) -> Option<Renew> {
        let chosen = site.renew.as_ref().or(file.push.renew.as_ref());
        let Some(chosen) = chosen else {
            if self.spoken_of(place, "renew") || self.spoken_of(file.push.place(), "renew") {
                return None;
            }
            return Some(if file.signing.is_some() { Renew::Resign } else { Renew::Exchange });
        };
        if chosen.value == Renew::Resign && file.signing.is_none() && !self.root_spoken_of("signing") {
            let instead = "write `[signing]` with `key` and `certificate`, or use `exchange`";
            self.reporter.error(&chosen.place, "`resign` without a signing key", instead);
            return None;
        }
        Some(chosen.value)
    }

    fn registry(&mut self, registry: &Registry, file: &File) -> Option<RegistrySettings> {
        let origins = registry.origins.as_ref().and_then(|origins| self.origins(origins, registry.ca.as_ref()));
        let roots = self.optional_roots(registry.ca.as_ref());
        let client = match (&registry.client_certificate, &registry.client_key) {
            (Some(certificate), Some(key)) => self.client(certificate, key).map(Some),
            (None, None) => Some(None),
            (Some(at), None) => self.without(registry.place(), at, "client_key"),
            (None, Some(at)) => self.without(registry.place(), at, "client_certificate"),
        };
        let host = registry.host.as_ref().map(|host| http::HeaderValue::from_str(&host.value.0).ok());
        Some(RegistrySettings {
            upstream: upstream::Settings { client: client?, ..reached(origins?, roots?, file) },
            host: transposed(host)?,
            redirects: registry.redirects.value.clone(),
        })
    }

    fn proxy(&mut self, proxy: &Proxy, file: &File) -> Option<upstream::Settings> {
        if let Some(url) = &proxy.url {
            self.ca_is_used(proxy.ca.as_ref(), std::iter::once(&url.value.0));
        }
        let roots = self.optional_roots(proxy.ca.as_ref());
        Some(reached(vec![proxy.url.as_ref()?.value.0.clone()], roots?, file))
    }

    fn origins(&mut self, origins: &At<Vec<At<Origin>>>, ca: Option<&At<PathBuf>>) -> Option<Vec<Uri>> {
        let mut all: Vec<Uri> = Vec::new();
        for At { value: Origin(origin), place } in &origins.value {
            if all.contains(origin) {
                self.reporter.error(place, "the same origin twice", "write it once");
            }
            all.push(origin.clone());
        }
        if all.is_empty() && !self.reporter.spoke_of(&origins.place.key) {
            self.reporter.error(&origins.place, "no origin", "write at least one, as in `[\"http://registry:5000\"]`");
        }
        self.ca_is_used(ca, all.iter());
        (!all.is_empty()).then_some(all)
    }
    fn optional_roots(&mut self, ca: Option<&At<PathBuf>>) -> Option<Option<Vec<Certificate>>> {
        match ca {
            Some(path) => self.roots(path).map(Some),
            None => Some(None),
        }
    }

    /// One of two keys that belong together is missing.
    fn without<T>(&mut self, section: &Place, at: &At<PathBuf>, missing: &str) -> Option<T> {
        if !self.spoken_of(section, missing) {
            self.reporter.error(&at.place, format!("without `{missing}`"), format!("write `{missing}` too"));
        }
        None
    }

    fn in_clear(&mut self, place: &Place, uri: &Uri) {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if uri.scheme_str() == Some("http") && !here {
            self.reporter.warn(place, "passwords and tokens cross the network in clear", "write `https://`");
        }
    }

    fn ca_is_used<'u>(&mut self, ca: Option<&At<PathBuf>>, mut uris: impl Iterator<Item = &'u Uri>) {
        if let Some(ca) = ca
            && uris.all(|uri| uri.scheme_str() == Some("http"))
        {
            self.reporter.warn(&ca.place, "never used: nothing here is `https://`", "remove it, or use `https://`");
        }
    }

    /// Without a store, what `exchange` needs is in one process's memory.
    fn exchange_alone(&mut self, file: &File, sites: &[SiteSettings]) {
        let Some(site) = sites.iter().find(|site| site.renew == Renew::Exchange && site.registry.is_some()) else {
            return;
        };
        let of_site = file.sites.iter().find(|(name, _)| name.value.eq_ignore_ascii_case(&site.host));
        let chosen = of_site.and_then(|(_, site)| site.renew.as_ref()).or(file.push.renew.as_ref());
        let place = chosen.map_or(file.push.place(), |renew| &renew.place);
        let what = "`exchange` keeps credentials in this process: its pushes survive neither a restart nor a change of replica";
        self.reporter.warn(place, what, "run one replica, or use `resign` with a `[signing]` key");
    }
}

/// A peer reached without a client certificate.
fn reached(origins: Vec<Uri>, roots: Option<Vec<Certificate>>, file: &File) -> upstream::Settings {
    let timeouts = &file.timeouts;
    upstream::Settings {
        origins,
        roots,
        client: None,
        connect: timeouts.connect.value.0,
        idle: timeouts.idle.value.0,
        response: timeouts.response.value.0,
        buffer: size(file.limits.buffer_bytes.value.0),
        keep_alive: UPSTREAM_KEEP_ALIVE,
    }
}

fn with_token_path(uri: &Uri) -> String {
    let (scheme, authority) = (uri.scheme_str().unwrap_or("https"), uri.authority().map_or("", |a| a.as_str()));
    format!("{scheme}://{authority}{TOKEN_PATH}")
}
