//! The authority: a token endpoint as GitLab has one (`GET /jwt/auth`, Basic, RS256), whose tokens live for seconds.
//!
//! A registry takes a token until 60 s after its `exp`. So one with `exp` = now − 60 s + *n* is taken for *n* seconds more,
//! and all clocks can be left alone. Clients take a token to live a minute unless they are told otherwise: so they are
//! told, and those that listen have a new one ready for their next request. None can help the request that is on its way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::Instant;

use super::serving::{Ear, Serving};
use crate::base::body::Body;
use crate::base::clock::{Clock, Timestamp};
use crate::base::fingerprint::Fingerprint;
use crate::base::secret::Secret;
use crate::oci::access::{Action, ResourceActions};
use crate::oci::credentials::Credentials;
use crate::oci::token_api::TokenQuery;
use crate::token::claims::{AccessClaim, Claims};
use crate::token::minter::Minter;

/// `iss`
pub(super) const ISSUER: &str = "demo-authority";
/// `service`, which becomes `aud`.
pub(super) const SERVICE: &str = "container_registry";
/// The token endpoint's path, GitLab's.
pub(super) const PATH: &str = "/jwt/auth";
/// The one login.
pub(super) const USER: &str = "jane";
/// May pull and push everything in here.
pub(super) const NAMESPACE: &str = "demo/";
/// What registries add to `exp`, and the least that clients take a token to live.
const MINUTE: Duration = Duration::from_secs(60);

/// Who asked for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The client, itself or through Tidegate.
    Client,
    /// Tidegate on its own account, to renew.
    Tidegate,
}

/// A token that was given out.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) token: Fingerprint,
    pub(super) asker: Asker,
    /// What it grants, as a scope.
    pub(super) scope: String,
    pub(super) at: Instant,
    /// From then on no registry takes it.
    pub(super) dies: Instant,
}

/// A running authority; ends when dropped.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) address: SocketAddr,
    office: Arc<Office>,
    _serving: Serving,
}

#[derive(Debug)]
struct Office {
    minter: Minter,
    password: Secret,
    clock: Clock,
    issued: Mutex<Vec<Issued>>,
}

impl Authority {
    /// Serves on `ear`. The minter's time to live is how long registries take a token.
    pub(super) fn open(ear: Ear, minter: Minter, password: Secret) -> Self {
        let office = Arc::new(Office { minter, password, clock: Clock::System, issued: Mutex::default() });
        let address = ear.address;
        let serving = ear.serve({
            let office = Arc::clone(&office);
            move |request| {
                let office = Arc::clone(&office);
                async move { office.answer(&request) }
            }
        });
        Self { address, office, _serving: serving }
    }

    /// All tokens it gave out, in order.
    pub(super) fn issued(&self) -> Vec<Issued> {
        self.office.lock().clone()
    }
}

impl Office {
    /// GitLab's answers, status for status.
    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let query = TokenQuery::parse(request.uri().query());
        // A POST is answered 404, which sends clients that speak OAuth2 on to GET.
        let here = request.method() == Method::GET && request.uri().path() == PATH;
        if !here || query.service.as_deref() != Some(SERVICE) {
            return answer(StatusCode::NOT_FOUND, &json!({}));
        }
        match request.headers().get(AUTHORIZATION).map(Credentials::parse) {
            Some(Credentials::Basic { user, password }) if user == USER && password == self.password => {
                self.issue(&query, self.clock.now())
            }
            Some(_) => refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "HTTP Basic: Access denied"),
            None => refused(StatusCode::FORBIDDEN, "DENIED", "access forbidden"),
        }
    }

    fn issue(&self, query: &TokenQuery, now: Timestamp) -> Response<Body> {
        let granted: Vec<ResourceActions> = query.scopes.iter().filter_map(grant).collect();
        let claims = Claims {
            issuer: ISSUER.to_owned(),
            audience: vec![SERVICE.to_owned()],
            subject: Some(USER.to_owned()),
            expires: now,
            not_before: None,
            issued_at: None,
            id: None,
            auth_type: Some("personal_access_token".to_owned()),
            user: None,
            access: Vec::new(),
        };
        let access: Vec<AccessClaim> = granted.iter().map(claim).collect();
        let Ok(minted) = self.minter.mint(&claims, SERVICE, &access, now.minus(MINUTE)) else {
            return refused(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the token could not be signed");
        };
        let at = Instant::now();
        self.lock().push(Issued {
            token: Fingerprint::of(minted.token.expose()),
            asker: if query.client_id.as_deref() == Some("tidegate") { Asker::Tidegate } else { Asker::Client },
            scope: granted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            at,
            dies: at + self.minter.ttl(),
        });
        let token = String::from_utf8_lossy(minted.token.expose());
        let issued_at = minted.expires.to_string();
        answer(StatusCode::OK, &json!({ "token": token, "expires_in": MINUTE.as_secs(), "issued_at": issued_at }))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of this is granted: pull and push below the one namespace.
fn grant(asked: &ResourceActions) -> Option<ResourceActions> {
    let own = asked.kind == "repository" && asked.name.starts_with(NAMESPACE);
    let held = ResourceActions::repository(&asked.name, &[Action::Pull, Action::Push]);
    own.then(|| asked.intersect(&held)).flatten()
}

fn claim(granted: &ResourceActions) -> AccessClaim {
    AccessClaim {
        kind: granted.kind.clone(),
        class: None,
        name: granted.name.clone(),
        actions: granted.actions.clone(),
        meta: None,
    }
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    answer(status, &json!({ "errors": [{ "code": code, "message": message }] }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::full(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
