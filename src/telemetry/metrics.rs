//! Every metric family, and one method for each happening.
//!
//! Counting is an atomic addition: series of closed sets are made at the start, those named after the configuration
//! the first time they are seen, and no count allocates after that.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{
    CacheResult, Code, DeniedReason, Fault, Label, Limit, Listener, MethodLabel, TokenResult, TokenSource,
};
use crate::base::clock::Timestamp;
use crate::oci::route::RouteKind;
use crate::policy::Renew;

/// Seconds. From a token check to a layer on a slow line: a push has no deadline, so the last bound is an hour.
const DURATIONS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 300.0, 900.0, 3600.0];
/// Seconds. An authority's answer, up to beyond its default deadline.
const FETCHES: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Sites, origins, authorities and certificates of one configuration and its reloads; more count as `other`.
const MAX_NAMES: usize = 4096;

/// Labels whose values come from the configuration.
type Named<const N: usize> = [(&'static str, Arc<str>); N];
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every metric of the process. Shared as an `Arc`; every method may be called from any thread.
pub struct Metrics {
    registry: Registry,
    names: RwLock<HashSet<Arc<str>>>,
    requests: Family<RequestLabels, Counter>,
    durations: Vec<Histogram>,
    request_bytes: Vec<Counter>,
    response_bytes: Vec<Counter>,
    requests_in_flight: Gauge,
    connections: Gauge,
    uploads_active: Gauge,
    rescues: Vec<Counter>,
    uploads_rescued: Counter,
    denied: Vec<Counter>,
    token_requests: Family<TokenLabels, Counter>,
    token_cache: Vec<Counter>,
    token_fetches: Histograms<Named<1>>,
    authority_clocks: Family<Named<1>, Gauge>,
    registry_tokens: Vec<Counter>,
    authorization_missing: Counter,
    limit_hits: Vec<Counter>,
    malformed: Vec<Counter>,
    panics: Counter,
    origin_up: Family<Named<2>, Gauge>,
    origin_requests: Family<OriginLabels, Counter>,
    certificates: Family<Named<1>, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    listener: Listener,
    route: RouteKind,
    method: MethodLabel,
    code: Code,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    authority: Arc<str>,
    result: TokenResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OriginLabels {
    site: Arc<str>,
    origin: Arc<str>,
    code: Code,
}

/// What is counted of one finished request.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// Which listener it came in by.
    pub listener: Listener,
    /// What it asked for.
    pub route: RouteKind,
    /// Its method.
    pub method: MethodLabel,
    /// The status it was answered with; none when the client went before.
    pub status: Option<StatusCode>,
    /// From its head to the end of its answer.
    pub duration: Duration,
    /// Bytes of its body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes_out: u64,
}

impl Metrics {
    /// All families, the closed ones with all their series at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let r = &mut registry;
        r.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let token_fetches = Family::new_with_constructor((|| Histogram::new(FETCHES)) as fn() -> Histogram);
        r.register("token_fetch_duration_seconds", "Time an authority took to answer", token_fetches.clone());
        Self {
            names: RwLock::new(HashSet::new()),
            requests: add(r, "http_requests", "Requests answered, or left by their client (499)"),
            durations: histograms(r, "http_request_duration_seconds", "From a request's head to its answer's end"),
            request_bytes: counters::<RouteKind>(r, "route", "http_request_bytes", "Bytes of request bodies read"),
            response_bytes: counters::<RouteKind>(r, "route", "http_response_bytes", "Bytes of answers' bodies sent"),
            requests_in_flight: add(r, "http_requests_in_flight", "Requests whose answer has not ended"),
            connections: add(r, "connections", "Client connections open"),
            uploads_active: add(r, "uploads_active", "Upload sessions opened and not ended"),
            rescues: counters::<Renew>(r, "renew", "rescues", "Requests forwarded on a lapsed client token"),
            uploads_rescued: add(r, "uploads_rescued", "Uploads that ended well after their token had lapsed"),
            denied: counters::<DeniedReason>(r, "reason", "denied", "Requests that did not bring what they needed"),
            token_requests: add(r, "token_requests", "Requests to the token endpoint"),
            token_cache: counters::<CacheResult>(r, "result", "token_cache", "What the token cache had"),
            token_fetches,
            authority_clocks: {
                let help = "How far an authority's clock is ahead of ours (negative: behind), by its Date";
                seconds(r, "authority_clock_offset", help)
            },
            registry_tokens: counters::<TokenSource>(r, "source", "registry_tokens", "Tokens shown to registries"),
            authorization_missing: add(r, "authorization_missing", "Token requests that name an account, bare"),
            limit_hits: counters::<Limit>(r, "limit", "limit_hits", "Times a bound was reached"),
            malformed: counters::<Fault>(r, "fault", "malformed_requests", "Requests refused for their framing"),
            panics: add(r, "panics", "Requests that ended in a panic"),
            origin_up: add(r, "origin_up", "Whether an origin takes requests (1) or not (0)"),
            origin_requests: add(r, "origin_requests", "Requests answered by an origin"),
            certificates: {
                let help = "When a TLS certificate ends, in Unix time";
                seconds(r, "tls_certificate_not_after_timestamp", help)
            },
            registry,
        }
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(32 * 1024);
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A request was forwarded on a lapsed client token.
    pub fn rescue(&self, renew: Renew) {
        count(&self.rescues, renew);
    }

    /// An upload ended well (201) after its client's token had lapsed.
    pub fn upload_rescued(&self) {
        self.uploads_rescued.inc();
    }

    /// A request did not bring what it needed.
    pub fn denied(&self, reason: DeniedReason) {
        count(&self.denied, reason);
    }

    /// A request to the token endpoint ended; `authority` is its name in the configuration.
    pub fn token_request(&self, authority: &str, result: TokenResult) {
        self.token_requests.get_or_create(&TokenLabels { authority: self.name(authority), result }).inc();
    }

    /// An authority answered, or failed to, after `took`.
    pub fn token_fetch(&self, authority: &str, took: Duration) {
        self.token_fetches.get_or_create(&[("authority", self.name(authority))]).observe(took.as_secs_f64());
    }

    /// An authority's clock was found so many seconds ahead of ours, or behind it (negative).
    pub fn authority_clock(&self, authority: &str, ahead: i64) {
        self.authority_clocks.get_or_create(&[("authority", self.name(authority))]).set(ahead);
    }

    /// The token cache was asked.
    pub fn token_cache(&self, result: CacheResult) {
        count(&self.token_cache, result);
    }

    /// A registry was shown a token.
    pub fn registry_token(&self, source: TokenSource) {
        count(&self.registry_tokens, source);
    }

    /// A token request named an account and carried no Authorization.
    pub fn authorization_missing(&self) {
        self.authorization_missing.inc();
    }

    /// A bound was reached.
    pub fn limit_hit(&self, limit: Limit) {
        count(&self.limit_hits, limit);
    }

    /// A request was refused for its framing.
    pub fn malformed(&self, fault: Fault) {
        count(&self.malformed, fault);
    }

    /// A request ended in a panic.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Whether an origin takes requests.
    pub fn origin_up(&self, site: &str, origin: &str, up: bool) {
        let labels = [("site", self.name(site)), ("origin", self.name(origin))];
        self.origin_up.get_or_create(&labels).set(i64::from(up));
    }

    /// An origin answered.
    pub fn origin_request(&self, site: &str, origin: &str, status: StatusCode) {
        let labels = OriginLabels { site: self.name(site), origin: self.name(origin), code: status.into() };
        self.origin_requests.get_or_create(&labels).inc();
    }

    /// Upload sessions were opened (positive) or ended (negative).
    pub fn uploads_active(&self, delta: i64) {
        self.uploads_active.inc_by(delta);
    }

    /// A client connection was opened.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A client connection ended.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A TLS certificate is served until `end`; `certificate` is the name it is known by.
    pub fn certificate(&self, certificate: &str, end: Timestamp) {
        self.certificates.get_or_create(&[("certificate", self.name(certificate))]).set(end.0);
    }

    /// A request's head was read.
    pub fn request_started(&self) {
        self.requests_in_flight.inc();
    }

    /// A request's answer ended.
    pub fn request_finished(&self, finished: &Finished) {
        let Finished { listener, route, method, .. } = *finished;
        let code = finished.status.map_or(Code::GONE, Code::from);
        self.requests_in_flight.dec();
        self.requests.get_or_create(&RequestLabels { listener, route, method, code }).inc();
        if let Some(histogram) = self.durations.get(route.index()) {
            histogram.observe(finished.duration.as_secs_f64());
        }
        count_by(&self.request_bytes, route, finished.bytes_in);
        count_by(&self.response_bytes, route, finished.bytes_out);
    }

    /// The shared copy of a name from the configuration.
    fn name(&self, name: &str) -> Arc<str> {
        let known = |names: &HashSet<Arc<str>>| names.get(name).cloned();
        if let Some(name) = known(&self.names.read().unwrap_or_else(PoisonError::into_inner)) {
            return name;
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            self.limit_hit(Limit::MetricNames);
            return Arc::from("other");
        }
        let name: Arc<str> = Arc::from(name);
        names.insert(Arc::clone(&name));
        name
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Registers a family or a single metric.
fn add<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Default + Clone,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// A gauge of seconds for each of what the configuration names.
fn seconds(registry: &mut Registry, name: &str, help: &str) -> Family<Named<1>, Gauge> {
    let family = Family::default();
    registry.register_with_unit(name, help, Unit::Seconds, family.clone());
    family
}

/// One counter for each value of a closed set, in the set's order.
fn counters<L: Label>(registry: &mut Registry, key: &'static str, name: &str, help: &str) -> Vec<Counter> {
    let family: Family<[(&'static str, &'static str); 1], Counter> = add(registry, name, help);
    L::ALL.iter().map(|value| family.get_or_create_owned(&[(key, value.as_str())])).collect()
}

/// One histogram for each route, in the routes' order.
fn histograms(registry: &mut Registry, name: &str, help: &str) -> Vec<Histogram> {
    let family: Histograms<[(&'static str, &'static str); 1]> =
        Family::new_with_constructor(|| Histogram::new(DURATIONS));
    registry.register(name, help, family.clone());
    RouteKind::ALL.iter().map(|route| family.get_or_create_owned(&[("route", route.as_str())])).collect()
}

fn count<L: Label>(counters: &[Counter], value: L) {
    count_by(counters, value, 1);
}

fn count_by<L: Label>(counters: &[Counter], value: L, by: u64) {
    if let Some(counter) = counters.get(value.index()) {
        counter.inc_by(by);
    }
}

#[cfg(test)]
mod tests;
