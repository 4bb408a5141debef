//! Every way a request can stop here, as the answer its client understands. Nowhere else does an error become HTTP.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::clients::{Recovery, recovery};
use super::headers::ClientOrigin;
use super::site::Site;
use crate::base::body::{Body, Malformed};
use crate::oci::access::Needed;
use crate::oci::challenge::{Challenge, ChallengeError};
use crate::oci::error::{self, ErrorCode};
use crate::oci::route::RouteError;
use crate::policy::decide::Refusal;
use crate::telemetry::labels::{DeniedReason, Limit};
use crate::telemetry::outcome::{Record, Side};
use crate::token::minter::MinterError;
use crate::upstream;

/// Seconds a client is asked to wait.
const RETRY_AFTER: &str = "5";

/// Why a request stops.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The target is no registry's.
    #[error("{0}")]
    Route(RouteError),
    /// Another protocol was asked for.
    #[error("the request asks for another protocol")]
    Upgrade,
    /// The ticket stands in the query twice.
    #[error("the upload ticket stands in the query more than once")]
    RepeatedTicket,
    /// Not permitted; with what it would have taken.
    #[error("not permitted: {0:?}")]
    Refused(Refusal, Arc<Needed>),
    /// This process is leaving: no new uploads.
    #[error("leaving: no new uploads")]
    Draining,
    /// The registry token could not be signed.
    #[error("the registry token could not be signed: {0}")]
    Sign(MinterError),
    /// The registry did not answer.
    #[error("the registry cannot be asked: {}", .0.causes())]
    Upstream(upstream::Error),
    /// The registry took longer than `timeouts.response` after the last byte.
    #[error("the registry did not answer in time")]
    Silent,
    /// The client's body can be read in two ways.
    #[error(transparent)]
    Malformed(Malformed),
    /// The client's body broke off, or stalled.
    #[error("the request's body broke off")]
    Body,
    /// The registry answered an upgrade that nobody asked for.
    #[error("the registry switched protocols unasked")]
    Switched,
    /// The registry's Location would lead round the door.
    #[error("the registry's Location leads elsewhere")]
    Location,
}

/// The answer to a request that stops, noted in its record.
#[must_use]
pub fn stop(
    stop: &Stop,
    site: &Site,
    client: &ClientOrigin,
    record: &Record,
    agent: Option<&HeaderValue>,
) -> Response<Body> {
    note(stop, record);
    match stop {
        Stop::Refused(refusal, needed) => refused(*refusal, needed, site, client, agent),
        Stop::Route(RouteError::Ambiguous) => {
            plain(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid, "the path can be read in more than one way")
        }
        Stop::Route(RouteError::Unknown) => plain(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, "no such endpoint"),
        Stop::Route(RouteError::Method) => {
            plain(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, "a registry does not serve this method")
        }
        Stop::Upgrade => last(plain(
            StatusCode::BAD_REQUEST,
            ErrorCode::Unknown,
            "leave Upgrade out and speak HTTP/1.1; HTTP/2 is spoken over TLS, by ALPN",
        )),
        Stop::RepeatedTicket => {
            plain(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid, "the upload URL was put together twice")
        }
        Stop::Draining => retry("this gateway is shutting down; start the upload again"),
        Stop::Sign(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, "the gateway cannot sign"),
        Stop::Upstream(upstream::Error::Broken(_)) => {
            plain(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, "the registry broke the connection")
        }
        Stop::Upstream(upstream::Error::TwoLengths(_)) => plain(
            StatusCode::BAD_GATEWAY,
            ErrorCode::Unavailable,
            "the registry's answer can be read in more than one way",
        ),
        Stop::Upstream(_) => retry("the registry cannot be reached"),
        Stop::Silent => {
            plain(StatusCode::GATEWAY_TIMEOUT, ErrorCode::Unavailable, "the registry did not answer in time")
        }
        Stop::Malformed(Malformed(words)) => plain(StatusCode::BAD_REQUEST, ErrorCode::Unknown, words),
        Stop::Body => plain(StatusCode::REQUEST_TIMEOUT, ErrorCode::Unknown, "the request's body broke off"),
        Stop::Switched => {
            plain(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, "the registry answered with another protocol")
        }
        Stop::Location => plain(
            StatusCode::BAD_GATEWAY,
            ErrorCode::Unavailable,
            "the registry answered with a URL that is not its own",
        ),
    }
}

fn note(stop: &Stop, record: &Record) {
    match stop {
        Stop::Refused(refusal, _) => record.denied(reason(*refusal)),
        Stop::Silent => record.metrics().limit_hit(Limit::Response),
        Stop::Draining => record.metrics().limit_hit(Limit::Leaving),
        _ => {}
    }
    let side = match stop {
        Stop::Refused(..) => return,
        Stop::Route(_) | Stop::Upgrade | Stop::RepeatedTicket | Stop::Malformed(_) | Stop::Body => Side::Client,
        Stop::Draining | Stop::Sign(_) => Side::Gateway,
        Stop::Upstream(_) | Stop::Silent | Stop::Switched | Stop::Location => Side::Upstream,
    };
    record.failed(side, stop.to_string());
}

fn reason(refusal: Refusal) -> DeniedReason {
    match refusal {
        Refusal::Missing => DeniedReason::Missing,
        Refusal::Token(error) => error.into(),
        Refusal::Lapsed => DeniedReason::Lapsed,
        Refusal::Scope => DeniedReason::Scope,
        Refusal::Ticket => DeniedReason::Ticket,
        Refusal::SessionEnd => DeniedReason::SessionEnd,
        Refusal::Unverified => DeniedReason::Unverified,
        Refusal::Revoked => DeniedReason::Revoked,
        Refusal::AuthorityDown => DeniedReason::AuthorityDown,
    }
}

/// The registries' own 401; or, where an extension came to its end and this client recovers from that alone, a 503.
fn refused(
    refusal: Refusal,
    needed: &Needed,
    site: &Site,
    client: &ClientOrigin,
    agent: Option<&HeaderValue>,
) -> Response<Body> {
    let exhausted = matches!(refusal, Refusal::SessionEnd | Refusal::Unverified | Refusal::AuthorityDown);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    if exhausted && recovery(agent) == Recovery::Retry {
        return retry("the upload outlived what its token could be extended to; start it again");
    }
    let error = match refusal {
        Refusal::Missing => None,
        Refusal::Scope => Some(ChallengeError::InsufficientScope),
        _ => Some(ChallengeError::InvalidToken),
    };
    challenge(site, client, needed, error)
}

/// A 401 as a registry writes it.
fn challenge(site: &Site, client: &ClientOrigin, needed: &Needed, error: Option<ChallengeError>) -> Response<Body> {
    let body = error::body(ErrorCode::Unauthorized, "authentication required", needed.resources());
    let mut response = json(StatusCode::UNAUTHORIZED, body);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge_of(site, client, needed, error).header());
    response
}

/// What sends a client to our realm with what it needs.
#[must_use]
pub fn challenge_of(site: &Site, client: &ClientOrigin, needed: &Needed, error: Option<ChallengeError>) -> Challenge {
    let service = site.authenticator.verifier().service.clone();
    Challenge { realm: site.realm(client), service, scope: needed.resources().to_vec(), error }
}

fn retry(message: &str) -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

/// The connection ends with this answer: a hop that has switched all the same must not have what follows served.
fn last(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A registry-style error without a challenge.
#[must_use]
pub fn plain(status: StatusCode, code: ErrorCode, message: &str) -> Response<Body> {
    json(status, error::body(code, message, &[]))
}

fn json(status: StatusCode, body: bytes::Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}
