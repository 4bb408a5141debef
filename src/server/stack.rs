//! What every request passes on its way to the service, outermost first. Protocol-neutral: nothing here knows a
//! route, and the order of what does is not a matter of layers.

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use tower::{Service, ServiceExt, service_fn};

use super::observe::{Observer, observe};
use crate::base::body::Body;
use crate::oci::error::{self, ErrorCode};
use crate::telemetry::metrics::Metrics;
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
    let inner = service_fn(move |request| contained(inner.clone(), Arc::clone(&metrics), request));
    // The request's id and record, its bodies' timers, and what becomes of a body nobody reads. Before it, nothing:
    // whoever prints a header below must not print a credential.
    service_fn(move |mut request: Request<Body>| {
        hide(request.headers_mut(), is_credential);
        let answer = observe(inner.clone(), Arc::clone(&observer), request);
        async move {
            let Ok(mut response) = answer.await;
            // What a server sets for its own site, before HTTP/2 puts it into a compression table (RFC 7541 §7.1.3).
            hide(response.headers_mut(), |name| *name == SET_COOKIE);
            Ok(response)
        }
    })
}

/// Marks values that nobody may print.
fn hide(headers: &mut HeaderMap, is_secret: impl Fn(&HeaderName) -> bool) {
    for (name, value) in headers.iter_mut() {
        if is_secret(name) {
            value.set_sensitive(true);
        }
    }
}

fn is_credential(name: &HeaderName) -> bool {
    *name == AUTHORIZATION
        || *name == COOKIE
        || *name == PROXY_AUTHORIZATION
        // GitLab's own headers for access tokens, on its web host.
        || matches!(name.as_str(), "private-token" | "job-token" | "deploy-token")
}

/// Runs a request; if that panics, the answer says so.
async fn contained<S>(inner: S, metrics: Arc<Metrics>, request: Request<Body>) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let mut running = std::pin::pin!(inner.oneshot(request));
    // Nothing that a panic may have left half done is looked at again: the future is dropped.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
        Ok(polled) => polled,
        Err(payload) => {
            metrics.panicked();
            Poll::Ready(Ok(panicked(&*payload)))
        }
    })
    .await
}

/// The answer to a request whose handling panicked. The message is ours and goes to the log, not to the client.
fn panicked(payload: &(dyn Any + Send)) -> Response<Body> {
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = &*bounded(message, MAX_PANIC), "a request's handling panicked");
    let mut response = Response::new(Body::full(error::body(ErrorCode::Unknown, "internal error", &[])));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
