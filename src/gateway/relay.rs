//! Phases 6 and 7: the exchange with the registry, and its answer on the way back.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Method, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::headers::strip_hop_by_hop;
use super::respond::{self, Stop};
use super::{Passage, Redirects, uploads};
use crate::base::body::{Body, BodyError};
use crate::base::lease::{Lease, Progress};
use crate::base::secret::Secret;
use crate::oci::challenge::ChallengeError;
use crate::oci::location::BlobPushLocation;
use crate::oci::route::RouteKind;
use crate::policy::Renew;
use crate::policy::decide::upload_access;
use crate::telemetry::labels::Limit;
use crate::telemetry::outcome::{Record, Side};
use crate::upload::ticket::{OriginId, Ticket};
use crate::upstream::origins::Running;
use crate::upstream::registry::{Answered, Outbound, Registry};

/// Sends the request and waits for the answer's head: as long as the body takes, then `timeouts.response`.
///
/// # Errors
/// [`Stop::Upstream`], [`Stop::Silent`], or [`Stop::Body`] when it was the client that broke off.
///
/// # Cancel safety
/// Dropping the future closes the connection; the registry never sees a complete body.
pub async fn exchange(
    passage: &Passage<'_>,
    registry: &Registry,
    outbound: &Outbound,
    lease: &Lease,
) -> Result<Answered, Stop> {
    let Passage { site, record, permit, .. } = passage;
    let sending = registry.send(permit, outbound, lease, |origin, error| {
        if !error.was_sent() && origin.answered(false) {
            site.metrics.origin_up(&site.name, &origin.name, false);
            tracing::warn!(site = %site.name, origin = %origin.name, %error, "the origin cannot be reached");
        }
    });
    let silence = async {
        lease.ended().await;
        tokio::time::sleep(site.response).await;
    };
    let answered = tokio::select! {
        biased;
        answered = sending => answered,
        () = silence => return Err(Stop::Silent),
    };
    let answered = answered.map_err(|error| match lease.progress() {
        Progress::Failed => Stop::Body,
        _ => Stop::Upstream(error),
    })?;
    record.with(|outcome| outcome.origin = Some(answered.origin.name.clone()));
    site.metrics.origin_request(&site.name, &answered.origin.name, answered.response.status());
    if answered.origin.answered(true) {
        site.metrics.origin_up(&site.name, &answered.origin.name, true);
        tracing::info!(site = %site.name, origin = %answered.origin.name, "the origin answers again");
    }
    Ok(answered)
}

/// The registry's answer as the client gets it: on our own origin, with the upload's ticket, otherwise as it came.
///
/// # Errors
/// [`Stop::Location`] when it would lead the client round the door.
pub fn answer(
    passage: &Passage<'_>,
    presented: &Secret,
    answered: Answered,
    lease: Lease,
) -> Result<Response<Body>, Stop> {
    let Answered { mut response, origin, running } = answered;
    strip_hop_by_hop(response.headers_mut());
    let status = response.status();
    let goes_on = matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT);
    if uploads::is_step(passage.route) && goes_on && *passage.method != Method::DELETE {
        relocate(passage, presented, origin.id, &mut response)?;
    } else if status.is_redirection() {
        check_redirect(passage, status, &response)?;
    } else if status == StatusCode::UNAUTHORIZED {
        own_challenge(passage, &mut response);
    }
    settle(passage, status);
    let body = Relayed {
        inner: std::mem::take(response.body_mut()),
        idle: passage.site.idle,
        timer: None,
        record: passage.record.clone(),
        _running: running,
        _rest: Rest(lease),
    };
    *response.body_mut() = Body::wrap(body);
    Ok(response)
}

/// The ticket of the next step.
fn next_ticket(passage: &Passage<'_>, origin: OriginId) -> Ticket {
    let Passage { site, permit, route, .. } = passage;
    let pushes = route.repository.as_ref().is_some_and(|name| permit.claims().covers(&upload_access(name)));
    let extends = pushes && site.renew != Renew::Off;
    match permit.ticket() {
        // The opener's ticket goes on; what another identity's permit proves is not about it.
        Some(ticket) if route.kind == RouteKind::Upload => {
            let own = ticket.identity == permit.identity();
            let next = ticket.next(permit.verified().filter(|_| own));
            Ticket { extends: ticket.extends && own && extends, ..next }
        }
        // Without a ticket nothing says when the upload was opened, so it only finds its origin again.
        _ => {
            let opens = route.kind == RouteKind::UploadOpen && extends;
            Ticket::open(permit.identity(), opens, site.push.max_session, origin, site.clock.now())
        }
    }
}

/// Makes the upload's Location path-absolute and puts the ticket in.
fn relocate(
    passage: &Passage<'_>,
    presented: &Secret,
    origin: OriginId,
    response: &mut Response<Body>,
) -> Result<(), Stop> {
    let Passage { site, record, route, .. } = passage;
    let Some(location) = response.headers().get(header::LOCATION) else { return Ok(()) };
    let repository = route.repository.as_ref().ok_or(Stop::Location)?;
    let location = location.to_str().map_err(|_| Stop::Location)?;
    let location = BlobPushLocation::parse(location, repository).map_err(|_| Stop::Location)?;
    if route.upload.as_ref().is_some_and(|upload| *upload != location.upload) {
        return Err(Stop::Location);
    }
    let ticket = next_ticket(passage, origin);
    site.uploads.touched(repository, &location.upload, record);
    if route.kind == RouteKind::UploadOpen && ticket.extends {
        site.tokens.opened(presented.expose(), repository, &location.upload, ticket.hard_end, ticket.opened);
    }
    record.with(|outcome| outcome.upload = Some(location.upload.clone()));
    let sealed = site.tickets.seal(ticket, &uploads::binding(site, repository, &location.upload));
    let sealed = sealed.inspect_err(|error| tracing::error!(%error, "an upload goes on without a ticket")).ok();
    let value = HeaderValue::from_str(&location.with_ticket(sealed.as_deref())).map_err(|_| Stop::Location)?;
    response.headers_mut().insert(header::LOCATION, value);
    Ok(())
}

/// A 307 of a blob may lead to storage; any other redirect stays on the host that was asked.
fn check_redirect(passage: &Passage<'_>, status: StatusCode, response: &Response<Body>) -> Result<(), Stop> {
    let Passage { site, client, route, .. } = passage;
    let Some(location) = response.headers().get(header::LOCATION) else { return Ok(()) };
    let location = Uri::try_from(location.as_bytes()).map_err(|_| Stop::Location)?;
    let Some(host) = location.authority() else {
        // `//host/…` has an authority to a client, though not to this parser.
        return if location.path().starts_with("//") { Err(Stop::Location) } else { Ok(()) };
    };
    let own = |host: &Authority| {
        client.host.as_ref() == Some(host)
            || site.host.as_ref().is_some_and(|own| own.as_bytes() == host.as_str().as_bytes())
    };
    let storage = route.kind == RouteKind::Blob && status == StatusCode::TEMPORARY_REDIRECT;
    let allowed = match &site.redirects {
        Redirects::Pass => storage,
        Redirects::Refuse => false,
        Redirects::Hosts(hosts) => storage && hosts.iter().any(|name| name.eq_ignore_ascii_case(host.host())),
    };
    if allowed || own(host) { Ok(()) } else { Err(Stop::Location) }
}

/// The registry's 401 keeps its body and its reason, but sends the client to our realm alone.
fn own_challenge(passage: &Passage<'_>, response: &mut Response<Body>) {
    let Passage { site, client, permit, .. } = passage;
    let theirs = response.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if site.renew == Renew::Resign {
        tracing::error!(
            site = %site.name,
            scoped = theirs.contains("insufficient_scope"),
            "the registry refuses a token signed here: is signing.certificate, or its issuer, in its rootcertbundle, \
             and are issuer and service the same as in its auth.token?"
        );
    }
    let error = if theirs.contains("insufficient_scope") {
        ChallengeError::InsufficientScope
    } else {
        ChallengeError::InvalidToken
    };
    let challenge = respond::challenge(site, client, permit.needed(), Some(error));
    if let Some(value) = challenge.headers().get(header::WWW_AUTHENTICATE) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value.clone());
    }
}

/// Keeps the view of open uploads true.
fn settle(passage: &Passage<'_>, status: StatusCode) {
    let Passage { site, route, record, .. } = passage;
    let (RouteKind::Upload, Some(repository), Some(upload)) = (route.kind, &route.repository, &route.upload) else {
        return;
    };
    let ended = match *passage.method {
        Method::PUT => status == StatusCode::CREATED,
        Method::DELETE => status.is_success(),
        _ => false,
    };
    if ended || status == StatusCode::NOT_FOUND {
        site.uploads.ended(repository, upload, record);
        site.tokens.closed(repository, upload, site.clock.now());
    }
}

/// The answer's body: as it comes, but not for longer than `timeouts.idle` without a byte.
struct Relayed {
    inner: Body,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    record: Record,
    _running: Running,
    _rest: Rest,
}

/// What the registry did not read of the request's body when its answer ends: taken from it, and left to the listener
/// to read within bounds, so that the client hears the answer.
struct Rest(Lease);

impl Drop for Rest {
    fn drop(&mut self) {
        drop(self.0.reclaim());
    }
}

/// The registry stopped in the middle of its answer.
#[derive(Debug, thiserror::Error)]
#[error("the registry sent nothing for {0:?}")]
struct Stalled(Duration);

impl HttpBody for Relayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.timer = None;
                if let Some(Err(error)) = &frame {
                    self.record.failed(Side::Upstream, format!("the answer broke off: {error}"));
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let idle = self.idle;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
                ready!(timer.as_mut().poll(cx));
                self.record.metrics().limit_hit(Limit::Idle);
                self.record.failed(Side::Upstream, "the registry stopped in the middle of its answer");
                Poll::Ready(Some(Err(Stalled(idle).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
