//! Phases 6 and 7: the exchange with the registry, and its answer on the way back.

use std::pin::pin;

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, Uri};

use super::answer::{Relayed, Silent, within};
use super::authenticate::Token;
use super::headers::strip_hop_by_hop;
use super::respond::{Stop, challenge_of};
use super::{Passage, Redirects, uploads};
use crate::base::body::Body;
use crate::base::lease::{Lease, Progress};
use crate::oci::challenge::ChallengeError;
use crate::oci::location::{self, BlobPushLocation};
use crate::oci::route::RouteKind;
use crate::policy::Renew;
use crate::policy::decide::upload_access;
use crate::upload::ticket::{OriginId, Ticket};
use crate::upstream::registry::{Answered, Outbound, Registry};

/// Sends the request and waits for the answer's head: as long as the body takes, then `timeouts.response`.
///
/// # Errors
/// [`Stop::Upstream`], [`Stop::Silent`], or, when it was the client's body that failed, [`Stop::Malformed`] or
/// [`Stop::Body`].
///
/// # Cancel safety
/// Dropping the future closes the connection; the registry never sees a complete body.
pub async fn exchange(
    passage: &Passage<'_>,
    registry: &Registry,
    outbound: &mut Outbound,
    lease: &Lease,
) -> Result<Answered, Stop> {
    let Passage { site, record, permit, .. } = passage;
    let sending = pin!(registry.send(permit, outbound, lease, |origin, error| {
        if !error.was_sent() && origin.answered(false) {
            site.metrics.origin_up(&site.name, &origin.name, false);
            tracing::warn!(site = %site.name, origin = %origin.name, error = error.causes(), "the origin cannot be reached");
        }
    }));
    let answered = within(site.response, lease, sending).await.map_err(|Silent| Stop::Silent)?;
    let answered = answered.map_err(|error| match lease.progress() {
        Progress::Malformed(fault) => Stop::Malformed(fault),
        Progress::Failed => Stop::Body,
        _ => Stop::Upstream(error),
    })?;
    record.with(|outcome| outcome.origin = Some(answered.origin.name.clone()));
    if permit.is_rescue() {
        site.uploads.rescued(record, passage.route, site.renew);
    }
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
/// [`Stop::Location`] when it would lead the client round the door, [`Stop::Switched`] when it is no answer.
pub fn answer(
    passage: &Passage<'_>,
    presented: &Token,
    answered: Answered,
    lease: Lease,
) -> Result<Response<Body>, Stop> {
    let Answered { mut response, origin, running } = answered;
    strip_hop_by_hop(response.headers_mut());
    let status = response.status();
    let goes_on = matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT);
    if uploads::is_step(passage.route) && goes_on && *passage.method != Method::DELETE {
        relocate(passage, presented, origin.id, &mut response)?;
    } else if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Stop::Switched);
    } else if status.is_redirection() {
        check_redirect(passage, status, &response)?;
    } else if status == StatusCode::UNAUTHORIZED {
        own_challenge(passage, &mut response);
    } else if status.is_success() {
        own_location(passage, &mut response);
    }
    if status != StatusCode::UNAUTHORIZED {
        // A challenge may stand in any answer (RFC 9110 §11.6.1); the only realm here is ours.
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
    }
    settle(passage, status);
    let inner = std::mem::take(response.body_mut());
    let body = Relayed::new(inner, passage.site.idle, passage.record.clone(), Some(running), lease);
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
            // Counted from when the POST was permitted: the registry may take its time to answer it.
            let opened = permit.verified().unwrap_or_else(|| site.clock.now());
            Ticket::open(permit.identity(), opens, site.push.max_session, origin, opened)
        }
    }
}

/// Makes the upload's Location path-absolute and puts the ticket in.
fn relocate(
    passage: &Passage<'_>,
    presented: &Token,
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
    let Passage { site, route, .. } = passage;
    let Some(location) = elsewhere(passage, response)? else { return Ok(()) };
    let Some(host) = location.authority() else { return Err(Stop::Location) };
    let storage = route.kind == RouteKind::Blob && status == StatusCode::TEMPORARY_REDIRECT;
    let allowed = match &site.redirects {
        Redirects::Pass => storage,
        Redirects::Refuse => false,
        Redirects::Hosts(hosts) => storage && hosts.iter().any(|name| name.eq_ignore_ascii_case(host.host())),
    };
    if allowed { Ok(()) } else { Err(Stop::Location) }
}

/// Where a Location leads, if that is not the host that was asked.
fn elsewhere(passage: &Passage<'_>, response: &Response<Body>) -> Result<Option<Uri>, Stop> {
    let mut locations = response.headers().get_all(header::LOCATION).iter();
    let Some(location) = locations.next() else { return Ok(None) };
    if locations.next().is_some() {
        return Err(Stop::Location);
    }
    let client = passage.client;
    location::elsewhere(location.as_bytes(), client.scheme(), client.host.as_ref()).map_err(|_| Stop::Location)
}

/// What was made stands on our own origin, whichever host the registry calls it: its client would take its token there.
/// A Location that says anything else is left out: what was made is made, whatever it is called.
fn own_location(passage: &Passage<'_>, response: &mut Response<Body>) {
    let own = match elsewhere(passage, response) {
        Ok(None) => return,
        Ok(Some(location)) => {
            let repository = passage.route.repository.as_ref();
            let path = repository.and_then(|repository| location::in_repository(&location, repository));
            path.and_then(|path| HeaderValue::from_str(path).ok())
        }
        Err(_) => None,
    };
    match own {
        Some(path) => response.headers_mut().insert(header::LOCATION, path),
        None => response.headers_mut().remove(header::LOCATION),
    };
}

/// The registry's 401 keeps its body and its reason, but sends the client to our realm alone.
fn own_challenge(passage: &Passage<'_>, response: &mut Response<Body>) {
    let Passage { site, client, permit, .. } = passage;
    let theirs = response.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if site.renew == Renew::Resign && !theirs.contains("insufficient_scope") && site.refused.due() {
        tracing::error!(
            site = %site.name,
            "the registry refuses a token signed here: is signing.certificate, or its issuer, in its rootcertbundle, \
             and are issuer and service the same as in its auth.token?"
        );
    }
    let error = if theirs.contains("insufficient_scope") {
        ChallengeError::InsufficientScope
    } else {
        ChallengeError::InvalidToken
    };
    let challenge = challenge_of(site, client, permit.needed(), Some(error));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.header());
}

/// Keeps the view of open uploads true.
fn settle(passage: &Passage<'_>, status: StatusCode) {
    let Passage { site, route, record, .. } = passage;
    let (RouteKind::Upload, Some(repository), Some(upload)) = (route.kind, &route.repository, &route.upload) else {
        return;
    };
    let committed = *passage.method == Method::PUT && status == StatusCode::CREATED;
    let cancelled = *passage.method == Method::DELETE && status.is_success();
    if committed || cancelled {
        site.tokens.closed(repository, upload, site.clock.now());
    }
    // A registry may say 404 to a question that was badly put; that ends nothing but the view of it.
    let unknown = matches!(*passage.method, Method::PATCH | Method::PUT) && status == StatusCode::NOT_FOUND;
    if committed || cancelled || unknown {
        site.uploads.ended(repository, upload, record, committed);
    }
}
