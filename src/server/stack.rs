//! What every request passes on its way to the service, outermost first. Protocol-neutral: nothing here knows a
//! route, and the order of what does is not a matter of layers.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tower::{Layer, Service, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::{SetSensitiveRequestHeadersLayer, SetSensitiveResponseHeadersLayer};

use super::observe::{Observer, observe};
use crate::base::body::Body;
use crate::oci::error::{self, ErrorCode};
use crate::telemetry::outcome::bounded;

/// Bytes of a panic's message in the log.
const MAX_PANIC: usize = 512;

/// Puts the layers around `inner`.
pub(super) fn build<S>(
    inner: S,
    observer: Arc<Observer>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Innermost: a panic is one request's, which is answered 500, and not its connection's or the process's. It sits
    // inside `observe` so that such a request has an access line like any other.
    let metrics = Arc::clone(&observer.metrics);
    let inner = CatchPanicLayer::custom(move |payload: Box<dyn std::any::Any + Send>| {
        metrics.panicked();
        panicked(&payload)
    })
    .layer(inner);
    // The request's id and record, its bodies' timers, and what becomes of a body nobody reads.
    let inner = service_fn(move |request| observe(inner.clone(), Arc::clone(&observer), request));
    // What a server sets for its own site, before HTTP/2 could put it into a compression table (RFC 7541 §7.1.3).
    let inner = SetSensitiveResponseHeadersLayer::new([SET_COOKIE]).layer(inner);
    // Outermost, so that nothing below can print a credential by printing a header.
    SetSensitiveRequestHeadersLayer::new([
        AUTHORIZATION,
        PROXY_AUTHORIZATION,
        COOKIE,
        // GitLab's own headers for access tokens, on its web host.
        HeaderName::from_static("private-token"),
        HeaderName::from_static("job-token"),
        HeaderName::from_static("deploy-token"),
    ])
    .layer(inner)
}

/// The answer to a request whose handling panicked. The message is ours and goes to the log, not to the client.
fn panicked(payload: &Box<dyn std::any::Any + Send>) -> Response<Body> {
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = &*bounded(message, MAX_PANIC), "a request's handling panicked");
    let mut response = Response::new(Body::full(error::body(ErrorCode::Unknown, "internal error", &[])));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
