//! The token endpoint: `GET` (Docker token specification) and `POST` (its OAuth2 variant).
//!
//! ```text
//! GET  ─ raw query, Authorization ──────────────┐
//! POST ─ password grant ─▶ the same as a GET ───┴─▶ TokenService ─▶ 200 4xx 429 503
//!      └ any other grant ─▶ 404, empty: as GitLab answers every POST, on which clients fall back to GET
//! ```
//!
//! An authority that cannot be asked is 503 with `Retry-After`, never a denial: a client that is denied gives up, or
//! drops its credentials.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::authority::answer::Refusal;
use crate::authority::gitlab::{Asker, Question};
use crate::base::body::{Body, CollectError, Malformed};
use crate::base::peer::Peer;
use crate::gateway::headers::ClientOrigin;
use crate::gateway::respond::plain;
use crate::issuance::issued::{Issued, IssuedToken, TokenRequest, Variant};
use crate::issuance::service::TokenService;
use crate::oci::credentials::Credentials;
use crate::oci::error::ErrorCode;
use crate::oci::route::RouteKind;
use crate::oci::token_api::{TokenForm, TokenQuery};
use crate::policy::Renew;
use crate::telemetry::labels::{DeniedReason, TokenResult};
use crate::telemetry::outcome::{Record, Side};
use crate::telemetry::seldom::Seldom;

mod explain;

/// The largest form that is read, in bytes.
pub const MAX_FORM: usize = 64 * 1024;

/// Seconds after which to come again, where the authority did not say.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("5");

/// The token endpoint of a site.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    service: Arc<TokenService>,
    renew: Renew,
    robbed: Arc<Seldom>,
}

/// Why a request is not put to the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unfit {
    #[error("the token endpoint is asked with GET or POST")]
    Method,
    #[error("the request has more than one Authorization header")]
    TwoCredentials,
    #[error("the form is too large")]
    TooLarge,
    /// It can be read in two ways.
    #[error(transparent)]
    Malformed(Malformed),
    #[error("the form broke off")]
    Broken,
    #[error("the body is not an OAuth2 token request")]
    NotAForm,
    #[error("username and password cannot be put into a Basic credential (RFC 7617)")]
    Unspeakable,
    /// A refresh token, or a grant nobody here serves.
    #[error("no such grant")]
    OtherGrant,
}

impl TokenEndpoint {
    /// The endpoint of a site that renews pushes in this way.
    #[must_use]
    pub fn new(service: Arc<TokenService>, renew: Renew) -> Self {
        Self { service, renew, robbed: Arc::default() }
    }

    /// Answers a token request. Every answer says `Cache-Control: no-store`.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the wait; a fetch that has begun goes on for others.
    pub async fn handle(&self, client: &ClientOrigin, record: &Record, request: Request<Body>) -> Response<Body> {
        record.with(|outcome| {
            outcome.route = RouteKind::Token;
            outcome.renew = Some(self.renew);
        });
        let hop = request.extensions().get::<Arc<Peer>>().map_or(client.address, |peer| peer.address.ip());
        let (result, mut response) = match read(client, record, request).await {
            Ok((question, variant)) => self.ask(question, variant, hop, record).await,
            Err(unfit) => {
                record.failed(Side::Client, unfit.to_string());
                (TokenResult::Refused, refuse(unfit))
            }
        };
        record.metrics().token_request(self.service.authority(), result);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn ask(
        &self,
        question: Question,
        variant: Variant,
        hop: IpAddr,
        record: &Record,
    ) -> (TokenResult, Response<Body>) {
        let robbed = is_robbed(&question);
        if robbed {
            record.metrics().authorization_missing();
            if self.robbed.due() {
                tracing::warn!(
                    peer = %hop,
                    client = %question.asker.address,
                    "a token request names an account and carries no Authorization: a hop in front may have removed it"
                );
            }
        }
        match self.service.issue(TokenRequest { question, renew: self.renew, variant }).await {
            Issued::Token(token) => {
                let result = if token.verified { TokenResult::Issued } else { TokenResult::Passed };
                (result, hand_out(token, record))
            }
            Issued::Refused { refusal, .. } => {
                let denied = matches!(refusal.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                if denied {
                    record.denied(DeniedReason::Credential);
                }
                let response = if denied && robbed { explained(&refusal, hop) } else { passed(&refusal) };
                (if denied { TokenResult::Denied } else { TokenResult::Passed }, response)
            }
            Issued::Throttled { retry_after } => {
                record.failed(Side::Authority, "the authority asks for less haste");
                let message = "the authority that issues tokens asks for less haste; try again later";
                let response = plain(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message);
                (TokenResult::Throttled, again(response, retry_after))
            }
            Issued::Unavailable { why, retry_after } => {
                record.failed(Side::Authority, why.to_string());
                let message = "the authority that issues tokens cannot be asked at the moment; try again later";
                let response = plain(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message);
                (TokenResult::Unavailable, again(response, retry_after))
            }
        }
    }
}

/// What goes to the authority: of a GET the raw query and the Authorization header as they came, of a POST what its
/// form says.
async fn read(client: &ClientOrigin, record: &Record, request: Request<Body>) -> Result<(Question, Variant), Unfit> {
    let (head, body) = request.into_parts();
    let (query, authorization, variant) = match head.method {
        Method::GET => {
            let mut credentials = head.headers.get_all(AUTHORIZATION).iter();
            let authorization = credentials.next().cloned();
            if credentials.next().is_some() {
                return Err(Unfit::TwoCredentials);
            }
            (head.uri.query().map(str::to_owned), authorization, Variant::Docker)
        }
        Method::POST => {
            let (query, authorization) = translated(body).await?;
            (Some(query), Some(authorization), Variant::OAuth2)
        }
        _ => return Err(Unfit::Method),
    };
    let authorization = authorization.map(|mut value| {
        value.set_sensitive(true);
        value
    });
    Ok((question(client, record, &head, query, authorization), variant))
}

/// The GET that asks for what the form asks for.
async fn translated(body: Body) -> Result<(String, HeaderValue), Unfit> {
    let form = body.collect_bounded(MAX_FORM).await.map_err(|error| match error {
        CollectError::TooLarge { .. } => Unfit::TooLarge,
        CollectError::Broken(error) => error.downcast_ref().copied().map_or(Unfit::Broken, Unfit::Malformed),
    })?;
    let form = TokenForm::parse(&form).map_err(|_| Unfit::NotAForm)?;
    if form.grant_type != "password" {
        return Err(Unfit::OtherGrant);
    }
    let (Some(user), Some(password)) = (&form.username, &form.password) else { return Err(Unfit::NotAForm) };
    let password = std::str::from_utf8(password.expose()).map_err(|_| Unfit::Unspeakable)?;
    let authorization = Credentials::basic(user, password).ok_or(Unfit::Unspeakable)?;
    Ok((form.query, authorization))
}

fn question(
    client: &ClientOrigin,
    record: &Record,
    head: &Parts,
    query: Option<String>,
    authorization: Option<HeaderValue>,
) -> Question {
    let host = client.host.as_ref().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    Question {
        query,
        authorization,
        asker: Asker { address: client.address, scheme: client.scheme(), host },
        request_id: Some(record.with(|outcome| outcome.request_id.clone())),
        user_agent: head.headers.get(USER_AGENT).cloned(),
    }
}

/// Whether it names an account without a credential. Clients send both or neither.
fn is_robbed(question: &Question) -> bool {
    question.authorization.is_none()
        && TokenQuery::parse(question.query.as_deref()).account.is_some_and(|account| !account.is_empty())
}

fn refuse(unfit: Unfit) -> Response<Body> {
    let (status, code) = match unfit {
        Unfit::OtherGrant => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        Unfit::Method => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
        Unfit::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::Unknown),
        Unfit::Broken => (StatusCode::REQUEST_TIMEOUT, ErrorCode::Unknown),
        Unfit::TwoCredentials | Unfit::Malformed(_) | Unfit::NotAForm | Unfit::Unspeakable => {
            (StatusCode::BAD_REQUEST, ErrorCode::Unknown)
        }
    };
    let mut response = plain(status, code, &unfit.to_string());
    if unfit == Unfit::Method {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

/// The subject is what the token says. The login is never written down: people put tokens there by mistake, and GitLab
/// does not look at it where the password is one.
fn hand_out(token: IssuedToken, record: &Record) -> Response<Body> {
    record.with(|outcome| {
        outcome.subject = token.subject;
        outcome.auth_type = token.auth_type;
        outcome.token_left = token.remaining.and_then(|seconds| i64::try_from(seconds).ok());
    });
    let mut response = Response::new(Body::full(token.body.expose().to_vec()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The authority's refusal, unchanged.
fn passed(refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(Body::full(refusal.body.clone()));
    *response.status_mut() = refusal.status;
    response.headers_mut().clone_from(&refusal.headers);
    response
}

/// The authority's denial with its status and code, and in place of its words those that help.
fn explained(refusal: &Refusal, hop: IpAddr) -> Response<Body> {
    let mut response = passed(refusal);
    response.headers_mut().remove(CONTENT_ENCODING);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Body::full(explain::body(refusal, hop));
    response
}

fn again(mut response: Response<Body>, retry_after: Option<HeaderValue>) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, retry_after.unwrap_or(COME_AGAIN));
    response
}

#[cfg(test)]
mod tests;
