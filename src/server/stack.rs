//! What every request passes on its way to the service. Protocol-neutral: nothing here knows a
//! route, and the order of what does is not a matter of layers.
//!
//! One future of one request holds it all. Layers that each hold the next one's future would be as deep as they are
//! many, and each is moved when a request begins.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::Service;

use super::activity::Activity;
use super::observe::{Observed, Observer};
use crate::base::body::Body;
use crate::base::peer::Peer;
use crate::oci::error::{self, ErrorCode};
use crate::telemetry::outcome::{Record, Side};

/// What a worker serves; cloned for each connection and each request, and ready at any time.
pub(super) trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// A service, and what every request to it passes.
#[derive(Clone, Debug)]
pub(super) struct Stack<S> {
    inner: S,
    observer: Arc<Observer>,
}

impl<S: Inner> Stack<S> {
    /// Around `inner`.
    pub(super) fn new(inner: S, observer: Arc<Observer>) -> Self {
        Self { inner, observer }
    }

    /// Begins a request.
    pub(super) fn call(
        &self,
        mut request: Request<Body>,
        peer: &Arc<Peer>,
        activity: &Arc<Activity>,
    ) -> Answering<S::Future> {
        // First of all: whoever prints a header below must not print a credential.
        hide(request.headers_mut(), is_credential);
        let mut inner = self.inner.clone();
        // The request's id and record, its bodies' timers, and what becomes of a body nobody reads.
        let (observed, request) = self.observer.begin(request, peer, activity);
        // Innermost: a panic is one request's, which is answered 500, and not its connection's or the process's. Such
        // a request has an access line like any other.
        let begun = request.and_then(|request| contain(observed.record(), || inner.call(request)));
        let (running, refused) = match begun {
            Ok(running) => (Some(running), None),
            Err(refused) => (None, Some(refused)),
        };
        Answering { running, refused, observed: Some(observed) }
    }
}

pin_project! {
    /// A request on its way to its answer.
    ///
    /// # Cancel safety
    /// Dropping it writes the record as far as it came.
    pub(super) struct Answering<F> {
        #[pin]
        running: Option<F>,
        refused: Option<Box<Response<Body>>>,
        observed: Option<Observed>,
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match (this.running.as_mut().as_pin_mut(), &*this.observed) {
            (Some(running), Some(observed)) => match contain(observed.record(), || running.poll(cx)) {
                Ok(polled) => {
                    let Ok(response) = ready!(polled);
                    Some(response)
                }
                Err(panicked) => Some(*panicked),
            },
            _ => this.refused.take().map(|refused| *refused),
        };
        // Nothing that a panic may have left half done is looked at again.
        this.running.set(None);
        let (Some(response), Some(observed)) = (polled, this.observed.take()) else { return Poll::Pending };
        let mut response = observed.finish(response);
        // What a server sets for its own site, before HTTP/2 puts it into a compression table (RFC 7541 §7.1.3).
        hide(response.headers_mut(), |name| *name == SET_COOKIE);
        Poll::Ready(Ok(response))
    }
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

/// Runs a part of a request; if that panics, the answer and the access line say so. Where, stands in the log; what the
/// panic said may be the request's own words, and is nobody's to read.
fn contain<T>(record: &Record, part: impl FnOnce() -> T) -> Result<T, Box<Response<Body>>> {
    catch_unwind(AssertUnwindSafe(part)).map_err(|_| {
        record.metrics().panicked();
        record.failed(Side::Gateway, "the request's handling panicked");
        let mut response = Response::new(Body::full(error::body(ErrorCode::Unknown, "internal error", &[])));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Box::new(response)
    })
}
