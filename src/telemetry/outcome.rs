//! What is known of one request, written once: one access line and one set of metrics.
//!
//! ```text
//! Record ─ clone ─▶ request extensions ─▶ gateway, endpoints: record.with(|outcome| …)
//! Ending ─ one ───▶ the answer's body: dropped with it, it writes
//! ```
//!
//! Whatever becomes of a request — an answer, a panic, a client that hangs up — its `Ending` is dropped exactly once.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::labels::{DeniedReason, Label, Listener, MethodLabel};
use super::log::ACCESS;
use super::metrics::{Finished, Metrics};
use crate::base::peer;
use crate::oci::name::{RepositoryName, UploadId};
use crate::oci::route::RouteKind;
use crate::policy::Renew;

/// Bytes of a path in the log; a registry's own are far shorter.
const MAX_PATH: usize = 512;
/// Bytes of any other field a stranger chooses.
const MAX_FIELD: usize = 256;

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client went away, stalled, or spoke nonsense.
    Client,
    /// We did.
    Gateway,
    /// Who decides access.
    Authority,
    /// The registry, or the web host behind us.
    Upstream,
}

impl Side {
    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Authority => "authority",
            Self::Upstream => "upstream",
        }
    }
}

/// What went wrong, in the log's words, which are not the client's.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whose fault.
    pub side: Side,
    /// What happened; bounded when written. Never a secret.
    pub words: Cow<'static, str>,
}

/// What is known of a request. Filled in along the way; the line's field names are these unless noted.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which listener it came in by.
    pub listener: Listener,
    /// The site that serves it: its `[sites."…"]` name.
    pub site: Option<Arc<str>>,
    /// What it asks for.
    pub route: RouteKind,
    /// Its method.
    pub method: Method,
    /// Its HTTP version, logged as `protocol`.
    pub version: Version,
    /// Its target; only the path is logged, as `path`.
    pub target: Uri,
    /// The client's address: the connection's, or what a trusted proxy says of it.
    pub client: IpAddr,
    /// `User-Agent`
    pub user_agent: Option<HeaderValue>,
    /// `X-Request-Id`, taken from the peer or given to it.
    pub request_id: HeaderValue,
    /// The repository it names.
    pub repository: Option<RepositoryName>,
    /// The upload session it belongs to; never its `_state` or ticket.
    pub upload: Option<UploadId>,
    /// `sub` of the client token.
    pub subject: Option<String>,
    /// `auth_type` of the client token.
    pub auth_type: Option<String>,
    /// Seconds since the client token was issued, logged as `token_age_s`.
    pub token_age: Option<i64>,
    /// Seconds to its `exp`, negative when past, logged as `token_left_s`.
    pub token_left: Option<i64>,
    /// Whether it was forwarded on a lapsed token. Set by [`Record::rescued`].
    pub rescued: bool,
    /// What took, or would take, the place of the client token.
    pub renew: Option<Renew>,
    /// Why it was not let through. Set by [`Record::denied`].
    pub denied: Option<DeniedReason>,
    /// The origin that answered.
    pub origin: Option<Arc<str>>,
    /// The status of the answer; none until there is one.
    pub status: Option<StatusCode>,
    /// What went wrong, logged as `error_side` and `error`. Set by [`Record::failed`].
    pub failure: Option<Failure>,
}

impl Outcome {
    /// What is known when a request's head has been read.
    #[must_use]
    pub fn new(listener: Listener, head: &http::request::Parts, client: IpAddr, request_id: HeaderValue) -> Self {
        Self {
            listener,
            site: None,
            route: RouteKind::Other,
            method: head.method.clone(),
            version: head.version,
            target: head.uri.clone(),
            client,
            user_agent: head.headers.get(http::header::USER_AGENT).cloned(),
            request_id,
            repository: None,
            upload: None,
            subject: None,
            auth_type: None,
            token_age: None,
            token_left: None,
            rescued: false,
            renew: None,
            denied: None,
            origin: None,
            status: None,
            failure: None,
        }
    }
}

/// The record of one request, shared by everyone who handles it; in the request's extensions.
#[derive(Clone)]
pub struct Record(Arc<Inner>);

struct Inner {
    outcome: Mutex<State>,
    metrics: Arc<Metrics>,
    started: Instant,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

struct State {
    outcome: Outcome,
    answered: Option<Instant>,
    ended: bool,
}

impl Record {
    /// Begins a record. The [`Ending`] goes where the request ends.
    pub fn begin(outcome: Outcome, metrics: Arc<Metrics>) -> (Self, Ending) {
        metrics.request_started();
        let record = Self(Arc::new(Inner {
            outcome: Mutex::new(State { outcome, answered: None, ended: false }),
            metrics,
            started: Instant::now(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }));
        (record.clone(), Ending(record))
    }

    /// Reads or changes what is known. `f` runs under a lock: it must be short.
    pub fn with<R>(&self, f: impl FnOnce(&mut Outcome) -> R) -> R {
        f(&mut self.0.lock().outcome)
    }

    /// The request did not bring what it needed: noted and counted.
    pub fn denied(&self, reason: DeniedReason) {
        self.0.lock().outcome.denied = Some(reason);
        self.0.metrics.denied(reason);
    }

    /// The request was forwarded on a lapsed client token: noted and counted.
    pub fn rescued(&self, renew: Renew) {
        self.with(|outcome| {
            outcome.rescued = true;
            outcome.renew = Some(renew);
        });
        self.0.metrics.rescue(renew);
    }

    /// Something went wrong. What was noted first stays: what follows is mostly its consequence.
    pub fn failed(&self, side: Side, words: impl Into<Cow<'static, str>>) {
        self.with(|outcome| {
            outcome.failure.get_or_insert_with(|| Failure { side, words: words.into() });
        });
    }

    /// The answer's head is ready.
    pub fn answered(&self, status: StatusCode) {
        let mut state = self.0.lock();
        state.outcome.status = Some(status);
        state.answered = Some(Instant::now());
    }

    /// Bytes of the request's body were read.
    pub fn received(&self, bytes: u64) {
        self.0.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of the answer's body were handed to the connection.
    pub fn sent(&self, bytes: u64) {
        self.0.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of the request's body so far.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.0.bytes_in.load(Ordering::Relaxed)
    }

    /// The process's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record")
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the line and the metrics.
    fn write(&self) {
        let state = self.lock();
        let State { outcome, answered, ended } = &*state;
        let now = Instant::now();
        let finished = Finished {
            listener: outcome.listener,
            route: outcome.route,
            method: MethodLabel::from(&outcome.method),
            status: outcome.status,
            duration: now.saturating_duration_since(self.started),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        };
        self.metrics.request_finished(&finished);
        let left = Failure { side: Side::Client, words: Cow::Borrowed("the client left before the answer's end") };
        let failure = outcome.failure.as_ref().or((!ended).then_some(&left));
        tracing::info!(
            target: ACCESS,
            listener = outcome.listener.as_str(),
            site = outcome.site.as_deref(),
            route = outcome.route.as_str(),
            method = &*bounded(outcome.method.as_str(), MAX_FIELD),
            path = &*bounded(outcome.target.path(), MAX_PATH),
            protocol = protocol(outcome.version),
            status = outcome.status.map(|status| status.as_u16()),
            repository = outcome.repository.as_ref().map(RepositoryName::as_str),
            upload = outcome.upload.as_ref().map(UploadId::as_str),
            subject = outcome.subject.as_deref().map(|text| bounded(text, MAX_FIELD)).as_deref(),
            auth_type = outcome.auth_type.as_deref().map(|text| bounded(text, MAX_FIELD)).as_deref(),
            token_age_s = outcome.token_age,
            token_left_s = outcome.token_left,
            rescued = outcome.rescued,
            renew = outcome.renew.map(Label::as_str),
            denied = outcome.denied.map(Label::as_str),
            origin = outcome.origin.as_deref(),
            request_id = &*bounded_bytes(outcome.request_id.as_bytes()),
            client = &*peer::text(outcome.client),
            user_agent = outcome.user_agent.as_ref().map(|value| bounded_bytes(value.as_bytes())).as_deref(),
            bytes_in = finished.bytes_in,
            bytes_out = finished.bytes_out,
            ttfb_ms = answered.map(|at| milliseconds(at.saturating_duration_since(self.started))),
            body_ms = answered.map(|at| milliseconds(now.saturating_duration_since(at))),
            error_side = failure.map(|failure| failure.side.as_str()),
            error = failure.map(|failure| bounded(&failure.words, MAX_FIELD)).as_deref(),
            "request"
        );
    }
}

/// The one who ends a request: dropped, it writes the access line and the metrics.
#[must_use = "dropping it ends the record"]
pub struct Ending(Record);

impl Ending {
    /// The answer was given to its end.
    pub fn complete(&self) {
        self.0.0.lock().ended = true;
    }

    /// The record it ends.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ending")
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.0.write();
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "other",
    }
}

/// `text` as it may stand in a log: control characters escaped, at most `limit` bytes and an ellipsis.
///
/// JSON escapes only the control characters below U+0020; DEL and U+0080 to U+009F drive a terminal as well.
#[must_use]
fn bounded(text: &str, limit: usize) -> Cow<'_, str> {
    // Looks at every byte, which lets it look at many at once; most texts are found fit so.
    let is_plain = |text: &str| text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte));
    if text.len() <= limit && (is_plain(text) || !text.chars().any(char::is_control)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(limit) + 3);
    for character in text.chars() {
        let before = out.len();
        if character.is_control() {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
        if out.len() > limit {
            out.truncate(before);
            out.push('…');
            break;
        }
    }
    Cow::Owned(out)
}

fn bounded_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => bounded(text, MAX_FIELD),
        Cow::Owned(text) => Cow::Owned(bounded(&text, MAX_FIELD).into_owned()),
    }
}

#[cfg(test)]
mod tests;
