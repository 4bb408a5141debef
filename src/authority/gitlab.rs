//! The client of a Docker-protocol token server (`kind = "gitlab"`): GitLab, Harbor's, docker_auth.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{Answer, Refusal, Unreachable};
use super::date;
use crate::base::body::{Body, CollectError};
use crate::base::clock::Clock;
use crate::oci::error::{self, ErrorCode};
use crate::oci::token_api::TokenQuery;
use crate::telemetry::labels::Limit;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::seldom::Seldom;
use crate::token::verifier::Verifier;
use crate::upstream;
use crate::upstream::client::Client;

/// The largest answer that is read, in bytes. A token with hundreds of scopes is a tenth of it.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Requests to one authority that run at once; the others wait, within the deadline. GitLab's own web server runs a
/// few dozen threads.
pub const MAX_REQUESTS: usize = 128;

/// How long an unused connection to the authority is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What of a refusal's head speaks to the client. No cookies: GitLab hands out sessions, and an answer may be shared.
const PASSED_HEADERS: [HeaderName; 6] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    HeaderName::from_static("docker-distribution-api-version"),
];

/// One authority, valid.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in the file; a metric label.
    pub name: String,
    /// The token endpoint, path included.
    pub url: Uri,
    /// Private roots; none: the system's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// Who signs its tokens, and what they say.
    pub verifier: Verifier,
    /// `timeouts.authority`: a deadline over the whole exchange.
    pub timeout: Duration,
    /// `timeouts.connect`
    pub connect: Duration,
}

/// Whom a question is asked for; told in `X-Forwarded-*`, since authorities ban and limit by address.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The client's real address.
    pub address: IpAddr,
    /// The scheme the client spoke: `https` or `http`.
    pub scheme: &'static str,
    /// The host the client asked; none for what we ask by ourselves.
    pub host: Option<HeaderValue>,
}

/// A token request. What decides is sent as it came: the raw query and the Authorization header.
#[derive(Clone, Debug)]
pub struct Question {
    /// The raw query, without the question mark.
    pub query: Option<String>,
    /// The Authorization header, byte for byte.
    pub authorization: Option<HeaderValue>,
    /// Whom it is asked for.
    pub asker: Asker,
    /// `X-Request-Id`
    pub request_id: Option<HeaderValue>,
    /// `User-Agent`
    pub user_agent: Option<HeaderValue>,
}

/// The client of one token server. Belongs to the runtime that uses it, as its connections do.
#[derive(Debug)]
pub struct Gitlab {
    name: Arc<str>,
    url: Uri,
    verifier: Verifier,
    timeout: Duration,
    client: Client,
    requests: Semaphore,
    /// Compared with the authority's; nothing is decided by it here.
    clock: Clock,
    metrics: Arc<Metrics>,
    warnings: Warnings,
}

#[derive(Debug, Default)]
struct Warnings {
    unreachable: Seldom,
    opaque: Seldom,
    clock: Seldom,
}

impl Gitlab {
    /// A client without connections yet.
    ///
    /// # Errors
    /// [`upstream::Error`] when TLS cannot be set up.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, upstream::Error> {
        let client = Client::new(&upstream::Settings {
            origins: vec![settings.url.clone()],
            roots: settings.roots,
            client: None,
            connect: settings.connect,
            idle: settings.timeout,
            response: settings.timeout,
            buffer: MAX_ANSWER,
            keep_alive: KEEP_ALIVE,
        })?;
        Ok(Self {
            name: settings.name.into(),
            url: settings.url,
            verifier: settings.verifier,
            timeout: settings.timeout,
            client,
            requests: Semaphore::new(MAX_REQUESTS),
            clock: Clock::System,
            metrics,
            warnings: Warnings::default(),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its tokens are checked against.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Asks once, within the deadline; a request that could not be sent at all is tried a second time.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection it was waiting on. The authority may have acted on the request.
    pub async fn ask(&self, question: &Question) -> Answer {
        let started = Instant::now();
        let answer = match tokio::time::timeout(self.timeout, self.exchange(question)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.metrics.limit_hit(Limit::Authority);
                Answer::unreachable(Unreachable::Timeout)
            }
        };
        self.metrics.token_fetch(&self.name, started.elapsed());
        match &answer {
            Answer::Unreachable { why, .. } if self.warnings.unreachable.due() => {
                tracing::warn!(authority = &*self.name, reason = %why, "the authority cannot be asked");
            }
            // A token for another service (GitLab's dependency proxy has its own) is none of ours, and no mistake.
            Answer::Opaque { why, .. } if self.is_ours(question) && self.warnings.opaque.due() => {
                tracing::warn!(
                    authority = &*self.name,
                    reason = %why,
                    "the authority's token cannot be verified: check `trusted`, `issuer` and `service`"
                );
            }
            Answer::Unreachable { .. }
            | Answer::Opaque { .. }
            | Answer::Granted(_)
            | Answer::Denied(_)
            | Answer::Passed(_)
            | Answer::Throttled { .. } => {}
        }
        answer
    }

    /// Whether it asks for a token that ought to verify here.
    fn is_ours(&self, question: &Question) -> bool {
        TokenQuery::parse(question.query.as_deref()).service.as_ref() == Some(&self.verifier.service)
    }

    async fn exchange(&self, question: &Question) -> Answer {
        let slot = match self.requests.try_acquire() {
            Ok(slot) => Ok(slot),
            Err(_) => {
                self.metrics.limit_hit(Limit::AuthorityRequests);
                self.requests.acquire().await
            }
        };
        // Nobody closes the semaphore.
        let Ok(_slot) = slot else { return Answer::unreachable(Unreachable::GivenUp) };
        let Some(uri) = self.target(question.query.as_deref()) else { return too_long() };
        let asked = Instant::now();
        let sent = match self.client.send(&self.url, request(&uri, question)).await {
            Err(error) if !error.was_sent() => self.client.send(&self.url, request(&uri, question)).await,
            sent => sent,
        };
        match sent {
            Ok(answer) => {
                let response = answer.into_response();
                self.compare_clocks(response.headers(), asked.elapsed());
                self.read(response).await
            }
            Err(error) => {
                tracing::debug!(authority = &*self.name, error = error.causes(), "no answer from the authority");
                let why = if error.was_sent() { Unreachable::Broken } else { Unreachable::Connect };
                Answer::unreachable(why)
            }
        }
    }

    /// Tells of clocks that are apart: one that is off makes good tokens bad, and the refusals do not say why. A `Date`
    /// is only what the authority says, so that nothing else comes of it.
    fn compare_clocks(&self, headers: &HeaderMap, took: Duration) {
        let Some(date) = date::of(headers) else { return };
        let ahead = date::ahead(date, self.clock.precise(), took);
        self.metrics.authority_clock(&self.name, ahead / 1000);
        let apart = Duration::from_millis(ahead.unsigned_abs());
        if apart > date::TOLERATED && self.warnings.clock.due() {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            tracing::warn!(
                authority = &*self.name,
                seconds = apart.as_secs(),
                "the authority's clock is {side} this machine's: check NTP on both, one that is off makes good tokens bad"
            );
        }
    }

    /// The endpoint's path with the raw query behind it; `None` when that is longer than a URI may be.
    fn target(&self, query: Option<&str>) -> Option<Uri> {
        let path = self.url.path();
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        target.parse().ok()
    }

    async fn read(&self, response: Response<Body>) -> Answer {
        let (head, body) = response.into_parts();
        let retry_after = head.headers.get(RETRY_AFTER).cloned();
        match head.status {
            StatusCode::OK if is_encoded(&head.headers) => Answer::unreachable(Unreachable::Encoded),
            StatusCode::OK => match body.collect_bounded(MAX_ANSWER).await {
                Ok(body) => Answer::of_success(&body, &self.verifier),
                Err(error) => Answer::unreachable(self.unread(&error)),
            },
            StatusCode::TOO_MANY_REQUESTS => Answer::Throttled { retry_after },
            status if status.is_client_error() => self.refusal(status, &head.headers, body).await,
            status if status.is_redirection() => Answer::unreachable(Unreachable::Redirected),
            status => Answer::Unreachable { why: Unreachable::Status(status), retry_after },
        }
    }

    /// A 4xx as it came. Where its body is too large to pass on, the status still stands.
    async fn refusal(&self, status: StatusCode, from: &HeaderMap, body: Body) -> Answer {
        let refusal = match body.collect_bounded(MAX_ANSWER).await {
            Ok(body) => {
                let mut headers = HeaderMap::new();
                for name in PASSED_HEADERS {
                    for value in from.get_all(&name) {
                        headers.append(name.clone(), value.clone());
                    }
                }
                Refusal { status, headers, body }
            }
            Err(error @ CollectError::TooLarge { .. }) => {
                self.unread(&error);
                own_refusal(status, "the authority refused this request, at great length")
            }
            Err(error @ CollectError::Broken(_)) => return Answer::unreachable(self.unread(&error)),
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Answer::Denied(refusal),
            _ => Answer::Passed(refusal),
        }
    }

    fn unread(&self, error: &CollectError) -> Unreachable {
        match error {
            CollectError::TooLarge { .. } => {
                self.metrics.limit_hit(Limit::AuthorityAnswer);
                Unreachable::TooLarge
            }
            CollectError::Broken(_) => Unreachable::Broken,
        }
    }
}

fn request(uri: &Uri, question: &Question) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri.clone();
    let headers = request.headers_mut();
    let mut set = |name: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    set(AUTHORIZATION, question.authorization.clone());
    set(USER_AGENT, question.user_agent.clone());
    set(HeaderName::from_static("x-request-id"), question.request_id.clone());
    let Asker { address, scheme, host } = &question.asker;
    set(HeaderName::from_static("x-forwarded-for"), address.to_canonical().to_string().try_into().ok());
    set(HeaderName::from_static("x-forwarded-proto"), Some(HeaderValue::from_static(scheme)));
    set(HeaderName::from_static("x-forwarded-host"), host.clone());
    request
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn too_long() -> Answer {
    Answer::Passed(own_refusal(StatusCode::URI_TOO_LONG, "the token request is longer than a URI may be"))
}

/// A refusal in our own words, in the registries' form.
fn own_refusal(status: StatusCode, message: &str) -> Refusal {
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::FORBIDDEN => ErrorCode::Denied,
        _ => ErrorCode::Unknown,
    };
    let body: Bytes = error::body(code, message, &[]);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Refusal { status, headers, body }
}

#[cfg(test)]
mod tests;
