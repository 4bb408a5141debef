//! The admin listener: `/healthz`, `/readyz`, `/metrics`.
//!
//! ```text
//! /healthz   200 ok                              the process answers
//! /readyz    200 | 503 with every reason         a balancer may send it clients
//! /metrics   OpenMetrics                         what was counted
//! ```
//!
//! It has sockets of its own, so that clients never reach it, and keeps answering while the public listener is full
//! or leaving. It must never change anything: it takes GET and HEAD, and reads no body.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::base::body::Body;
use crate::base::io::WriteIdle;
use crate::telemetry::metrics::Metrics;

/// Connections at a time; scrapers and probes are few, and more of them wait.
const CONNECTIONS: usize = 64;
/// Bytes of a request's head, far more than a probe sends.
const HEAD: usize = 16 * 1024;
/// For a request's head, for the pause before it, and for an answer that is not read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors kept back: more than one, since a given one may be snatched away by a thread that wants it as well.
const SPARE: usize = 4;
/// Before accepting again after running out of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// `[listeners.admin]`
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Why clients should not be sent here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What is not ready: `process`, `authority gitlab`, `origin http://reg-1:5000`.
    pub part: Cow<'static, str>,
    /// What is the matter with it: `draining`, `down`.
    pub state: Cow<'static, str>,
}

/// Every reason there is at the moment of asking; none: ready.
pub type Readiness = Arc<dyn Fn() -> Vec<Reason> + Send + Sync>;

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct Error {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// An admin listener that is bound and not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Binds `settings.address`. To be called inside a runtime.
    ///
    /// # Errors
    /// [`Error`], the system's.
    pub fn bind(settings: &Settings) -> Result<Self, Error> {
        let address = settings.address;
        let listener = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        listener.map(|listener| Self { listener }).map_err(|source| Error { address, source })
    }

    /// Where it listens, with the port the system chose for port 0.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for ever.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener and its connections.
    pub async fn serve(self, metrics: Arc<Metrics>, readiness: Readiness) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut spare = Spare::default();
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            spare.keep();
            let accepted = loop {
                tokio::select! {
                    biased;
                    Some(ended) = connections.join_next() => spare.take_back(ended.ok().flatten()),
                    accepted = self.listener.accept() => break accepted,
                }
            };
            let Ok((stream, _)) = accepted else {
                // The connection still waits: when that was for want of a descriptor, here is one.
                if !spare.give_up() {
                    tokio::time::sleep(BACK_OFF).await;
                }
                continue;
            };
            let (metrics, readiness) = (Arc::clone(&metrics), Arc::clone(&readiness));
            connections.spawn(async move {
                let descriptor = connection(stream, metrics, readiness).await;
                drop(permit);
                descriptor
            });
        }
    }
}

/// File descriptors that nobody else can take, so that a process that has run out of them can still be asked how it is.
///
/// One that was given to a connection comes back as that connection's own: closed, it would be anybody's.
#[derive(Debug, Default)]
struct Spare {
    descriptors: Vec<OwnedFd>,
    /// Whether the next connection has one of them.
    given: bool,
}

impl Spare {
    /// Takes what is missing: never between giving one up and the connection it is for.
    fn keep(&mut self) {
        if std::mem::take(&mut self.given) {
            return;
        }
        while self.descriptors.len() < SPARE {
            // A socket, since it needs no path to be there. None to be had: then there are fewer to give.
            let Ok(socket) = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return };
            self.descriptors.push(socket.into());
        }
    }

    /// Frees one, if there is one.
    fn give_up(&mut self) -> bool {
        self.given = self.descriptors.pop().is_some();
        self.given
    }

    fn take_back(&mut self, descriptor: Option<OwnedFd>) {
        if self.descriptors.len() < SPARE {
            self.descriptors.extend(descriptor);
        }
    }
}

/// Serves a connection to its end; its descriptor, shut down, is what is left of it.
async fn connection(stream: TcpStream, metrics: Arc<Metrics>, readiness: Readiness) -> Option<OwnedFd> {
    let service = service_fn(move |request: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &metrics, &readiness)))
    });
    let io = TokioIo::new(WriteIdle::new(stream, PATIENCE));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_header_size(HEAD).max_buf_size(2 * HEAD);
    let mut serving = http.serve_connection(io, service);
    // A probe that hangs up is nothing to speak of.
    let _ = poll_fn(|cx| serving.poll_without_shutdown(cx)).await;
    let mut stream = serving.into_parts().io.into_inner().into_inner();
    let _ = stream.shutdown().await;
    stream.into_std().ok().map(OwnedFd::from)
}

fn answer(method: &Method, path: &str, metrics: &Metrics, readiness: &Readiness) -> Response<Body> {
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return text(StatusCode::NOT_FOUND, PLAIN, "not found\n");
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => text(StatusCode::OK, OPEN_METRICS, metrics.encode()),
        "/readyz" => ready(readiness()),
        _ => text(StatusCode::OK, PLAIN, "ok\n"),
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// OpenMetrics 1.0, «Protocol negotiation».
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize)]
struct Ready {
    ready: bool,
    reasons: Vec<Reason>,
}

fn ready(reasons: Vec<Reason>) -> Response<Body> {
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Strings and a flag always serialize; the status alone would say it too.
    let mut body = serde_json::to_vec(&Ready { ready, reasons }).unwrap_or_default();
    body.push(b'\n');
    text(status, JSON, body)
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
