//! The way of a `/v2/` request, phase by phase, in one function.
//!
//! ```text
//! 1 classify      oci::route ── what is asked for, the access that takes        ─▶ 400 404 405
//! 2 authenticate  authenticate ── Missing | Refused | Living | Lapsed
//! 3 recall        uploads ── the ticket, taken out of the query and opened      ─▶ 400
//! 4 decide        policy ── Permit | Extend, which asks the authority | Refuse  ─▶ 401 503
//! 5 renew         renew ── the token the registry is shown                      ─▶ 401 503
//! 6 forward       upstream::registry::send(&Permit, …)                          ─▶ 502 503 504
//! 7 relay         relay ── Location and ticket, redirects, the body as it comes ─▶ 502
//! ```
//!
//! Nothing under `/v2` is buffered beyond one window per direction. It must never read a body before the request is
//! permitted, never send a request without a `Permit`, and never put a token, a ticket or a `_state` into a log.

use std::mem::take;
use std::sync::atomic::Ordering;

use http::{HeaderName, Method, Request, Response};

use crate::base::body::Body;
use crate::base::lease::Lease;
use crate::issuance::renewal::Standing;
use crate::oci::route::{Route, RouteKind};
use crate::policy::Renew;
use crate::policy::decide::{Decision, Extension, Question, Refusal, Word, decide};
use crate::policy::permit::Permit;
use crate::telemetry::outcome::Record;
use crate::upstream::registry::{Outbound, Registry};

pub mod ambiguous;
pub mod answer;
pub mod authenticate;
pub mod clients;
pub mod headers;
pub mod relay;
pub mod renew;
pub mod respond;
pub mod site;
pub mod uploads;

use authenticate::Token;
use headers::ClientOrigin;
use respond::Stop;
use site::Site;

/// Where a registry's 307 of a blob may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Anywhere: passed byte for byte.
    Pass,
    /// Nowhere: answered 502.
    Refuse,
    /// To these hosts only.
    Hosts(Vec<String>),
}

/// `[sites."…"]`
#[derive(Debug)]
pub struct SiteSettings {
    /// `host`, `host:port` or `*`, lower case.
    pub host: String,
    /// The authority's name.
    pub authority: String,
    /// The token endpoint's public URL; none: `/jwt/auth` on the host that was asked.
    pub realm: Option<http::Uri>,
    /// The site's, or `[push]`'s.
    pub renew: Renew,
    /// The registry behind it.
    pub registry: Option<RegistrySettings>,
    /// The web host behind it.
    pub proxy: Option<crate::upstream::Settings>,
}

/// `[sites."…".registry]`
#[derive(Debug)]
pub struct RegistrySettings {
    /// Where the registry is.
    pub upstream: crate::upstream::Settings,
    /// Host header to send instead of the client's.
    pub host: Option<http::HeaderValue>,
    /// Where a 307 may lead.
    pub redirects: Redirects,
}

/// Takes a request to the registry and its answer back. What is sent is taken out of `request`.
///
/// # Cancel safety
/// Dropping the future closes the connection to the registry, which never sees a complete body.
pub async fn handle(
    site: &Site,
    registry: &Registry,
    client: &ClientOrigin,
    record: &Record,
    request: &mut Request<Body>,
) -> Response<Body> {
    let agent = request.headers().get(http::header::USER_AGENT).cloned();
    match pass(site, registry, client, record, request).await {
        Ok(response) => response,
        Err(stop) => respond::stop(&stop, site, client, record, agent.as_ref()),
    }
}

async fn pass(
    site: &Site,
    registry: &Registry,
    client: &ClientOrigin,
    record: &Record,
    request: &mut Request<Body>,
) -> Result<Response<Body>, Stop> {
    let now = site.clock.now();

    // 1 classify
    let route = Route::classify(request.method(), request.uri().path(), request.uri().query()).map_err(Stop::Route)?;
    record.with(|outcome| {
        outcome.route = route.kind;
        outcome.repository.clone_from(&route.repository);
        outcome.upload.clone_from(&route.upload);
    });
    if headers::asks_to_switch(request.headers()) {
        return Err(Stop::Upgrade);
    }
    if route.kind == RouteKind::UploadOpen && request.method() == Method::POST && site.leaving.load(Ordering::Relaxed) {
        return Err(Stop::Draining);
    }

    // 2 authenticate
    let presented = site.authenticator.evidence(request.headers(), now);
    request.headers_mut().remove(http::header::AUTHORIZATION);
    presented.note(record, now);

    // 3 recall
    let recalled = uploads::recall(site, &route, request.uri())?;

    // 4 decide
    let token = presented.token;
    let question = Question {
        method: request.method(),
        route: &route,
        evidence: presented.evidence,
        ticket: recalled.ticket,
        renew: site.renew,
        now,
    };
    let permit = match decide(question) {
        Decision::Permit(permit) => permit,
        // Boxed, as what is rare below: every request would carry the room for it.
        Decision::Extend(extension) => Box::pin(confirm(site, &route, extension, &token)).await?,
        Decision::Refuse(refusal) => return Err(Stop::Refused(refusal, route.needed)),
    };

    // 5 renew
    let has_body = !http_body::Body::is_end_stream(request.body());
    let shown = renew::registry_token(site, &permit, &route, &token, presented.digest, has_body).await?;

    // 6 forward
    let lease = Lease::new(take(request.body_mut()));
    let mut headers = take(request.headers_mut());
    headers::clean_request(&mut headers, client, site.host.as_ref());
    headers.insert(HeaderName::from_static("x-request-id"), record.with(|outcome| outcome.request_id.clone()));
    let method = request.method();
    let mut outbound = Outbound { method: method.clone(), headers, target: recalled.target, bearer: shown };
    let passage = Passage { site, client, record, route: &route, permit: &permit, method };
    let answered = relay::exchange(&passage, registry, &mut outbound, &lease).await?;

    // 7 relay
    relay::answer(&passage, &token, answered, lease)
}

/// What is known of a permitted request on its way.
#[derive(Debug)]
pub struct Passage<'a> {
    /// The site.
    pub site: &'a Site,
    /// Who asks.
    pub client: &'a ClientOrigin,
    /// What is written down.
    pub record: &'a Record,
    /// What is asked for.
    pub route: &'a Route,
    /// The proof.
    pub permit: &'a Permit,
    /// How it is asked for.
    pub method: &'a Method,
}

/// Hears the authority before a lapsed token goes on with its own upload.
async fn confirm(site: &Site, route: &Route, extension: Extension, token: &Token) -> Result<Permit, Stop> {
    let now = site.clock.now();
    let (lapsed, ticket) = (extension.token(), extension.ticket());
    let Some(repository) = &route.repository else { return Err(Stop::Refused(Refusal::Ticket, route.needed.clone())) };
    let standing = site.tokens.reverify(token.expose(), lapsed, repository, ticket.verified, ticket.opened, now).await;
    let word = match standing {
        Standing::Confirmed { at } => Word::Confirmed(at),
        Standing::StillFresh => Word::Confirmed(ticket.verified),
        Standing::Unreachable => Word::Unreachable,
        Standing::NoCredential => Word::NoCredential,
        Standing::Revoked(why) => {
            tracing::warn!(site = %site.name, repository = %repository, %why, "the extension of an upload ends");
            Word::Revoked
        }
    };
    let now = site.clock.now();
    // `exchange` has nothing to show the registry without the credential.
    if word == Word::NoCredential && site.renew == Renew::Exchange {
        return Err(Stop::Refused(Refusal::Unverified, route.needed.clone()));
    }
    extension.confirm(word, &site.push, now).map_err(|refusal| Stop::Refused(refusal, route.needed.clone()))
}
