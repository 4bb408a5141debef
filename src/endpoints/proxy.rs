//! A web host behind the same door: everything passes, protocol upgrades (RFC 9110 §7.8) too.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, Version};
use tokio::io::{AsyncWriteExt, copy_bidirectional};

use crate::base::body::Body;
use crate::base::lease::{Lease, Progress};
use crate::base::upgrade::{Switched, Upgrade};
use crate::gateway::answer::{Relayed, Silent, within};
use crate::gateway::headers::{ClientOrigin, clean_request, strip_hop_by_hop};
use crate::gateway::respond::plain;
use crate::oci::error::ErrorCode;
use crate::oci::route::RouteKind;
use crate::telemetry::labels::Limit;
use crate::telemetry::outcome::{Record, Side};
use crate::upstream::client::{Client, Switching};
use crate::upstream::connector::{Connector, Stream};
use crate::upstream::{Error, Settings};

/// A web host, as one core reaches it.
#[derive(Clone, Debug)]
pub struct Proxy {
    client: Client,
    origin: http::Uri,
    response: Duration,
    idle: Duration,
}

impl Proxy {
    /// The web host of these settings, their first origin, reached through this connector; `None` without an origin.
    #[must_use]
    pub fn new(connector: Connector, settings: &Settings) -> Option<Self> {
        let origin = settings.origins.first().cloned()?;
        let client = Client::with(connector, settings);
        Some(Self { client, origin, response: settings.response, idle: settings.idle })
    }

    /// Takes a request to the web host and its answer back.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection to the web host.
    pub async fn handle(&self, client: &ClientOrigin, record: &Record, mut request: Request<Body>) -> Response<Body> {
        record.with(|outcome| {
            outcome.route = RouteKind::Proxy;
            outcome.origin = self.origin.authority().map(|authority| Arc::from(authority.as_str()));
        });
        let upgrade = wanted_upgrade(&request);
        let theirs = upgrade.is_some().then(|| Upgrade::of(&mut request)).flatten();
        let (mut head, body) = request.into_parts();
        clean_request(&mut head.headers, client, None);
        head.headers.insert(HeaderName::from_static("x-request-id"), record.with(|outcome| outcome.request_id.clone()));
        put_upgrade(&mut head.headers, upgrade.as_ref());
        let lease = Lease::new(body);
        let target = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut outbound = Request::new(lease.lend());
        *outbound.uri_mut() = Uri::from(target);
        *outbound.method_mut() = head.method;
        *outbound.headers_mut() = head.headers;
        let answer = match within(self.response, &lease, pin!(self.client.send(&self.origin, outbound))).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return failed(record, &error, &lease),
            Err(Silent) => {
                record.metrics().limit_hit(Limit::Response);
                record.failed(Side::Upstream, Silent.to_string());
                let words = "the host behind this gateway did not answer in time";
                return plain(StatusCode::GATEWAY_TIMEOUT, ErrorCode::Unavailable, words);
            }
        };
        let mut response = match answer.into_switching() {
            Switching::Answer(response) => response,
            Switching::Switched(ends) => return switched(*ends, theirs, record),
        };
        strip_hop_by_hop(response.headers_mut());
        response.map(|body| Body::wrap(Relayed::new(body, self.idle, record.clone(), None, lease)))
    }
}

/// The web host switched protocols: if the client had asked for that, both ends are joined.
fn switched(
    (mut response, host, said): (Response<()>, Stream, Bytes),
    client: Option<Upgrade>,
    record: &Record,
) -> Response<Body> {
    let protocol = response.headers().get(header::UPGRADE).filter(|protocol| !is_http(protocol)).cloned();
    let (Some(protocol), Some(client)) = (protocol, client) else {
        record.failed(Side::Upstream, "the web host switched protocols unasked");
        let words = "the host behind this gateway answered with another protocol";
        return plain(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, words);
    };
    strip_hop_by_hop(response.headers_mut());
    put_upgrade(response.headers_mut(), Some(&protocol));
    tokio::spawn(tunnel(client, host, said));
    response.map(|()| Body::empty())
}

/// What the client wants to switch to; only HTTP/1.1 can (RFC 9113 §8.6).
fn wanted_upgrade(request: &Request<Body>) -> Option<HeaderValue> {
    let named = request.headers().get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")))
    });
    let wanted = request.headers().get(header::UPGRADE).filter(|_| named && request.version() == Version::HTTP_11)?;
    (!is_http(wanted)).then(|| wanted.clone())
}

/// Whether any of these protocols is another version of HTTP: inside of its tunnel a client could say whatever it likes about
/// where it comes from.
fn is_http(protocols: &HeaderValue) -> bool {
    protocols.as_bytes().split(|byte| *byte == b',').any(|protocol| {
        let protocol = protocol.trim_ascii().to_ascii_lowercase();
        protocol.starts_with(b"h2") || protocol.starts_with(b"http/")
    })
}

fn put_upgrade(headers: &mut HeaderMap, protocol: Option<&HeaderValue>) {
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}

/// Joins both ends until either closes. The connections are theirs now: no timer of ours cuts a quiet terminal.
async fn tunnel(client: Upgrade, mut host: Stream, said: Bytes) {
    let Some(Switched { io: mut client, place: _place }) = client.switched().await else {
        return tracing::debug!("an upgrade did not come about");
    };
    let joined = async {
        client.write_all(&said).await?;
        copy_bidirectional(&mut client, &mut host).await
    };
    if let Err(error) = joined.await {
        tracing::debug!(%error, "an upgraded connection broke");
    }
}

fn failed(record: &Record, error: &Error, lease: &Lease) -> Response<Body> {
    match lease.progress() {
        Progress::Malformed(fault) => {
            record.failed(Side::Client, fault.to_string());
            return plain(StatusCode::BAD_REQUEST, ErrorCode::Unknown, fault.0);
        }
        Progress::Failed => {
            record.failed(Side::Client, "the request's body broke off");
            return plain(StatusCode::REQUEST_TIMEOUT, ErrorCode::Unknown, "the request's body broke off");
        }
        Progress::Untouched | Progress::Started | Progress::Ended => {}
    }
    record.failed(Side::Upstream, error.causes());
    let words = match error {
        Error::TwoLengths(_) => "the answer of the host behind this gateway can be read in more than one way",
        _ => "the host behind this gateway cannot be reached",
    };
    let mut response = plain(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, words);
    if !error.was_sent() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

#[cfg(test)]
mod tests;
