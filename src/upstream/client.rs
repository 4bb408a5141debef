//! A pool of HTTP/1.1 connections to one or several origins.
//!
//! ```text
//! call ─▶ the connection used last that is ready ─┬─▶ answer ─ its body's end ─▶ back into the pool
//!      └▶ a new one ──────────────────────────────┘
//! ```
//!
//! A request waits for no other's connection: where none is ready a new one is made, and of those that come back only
//! so many are kept. It lives on one core, and so do its connections: nothing is woken across threads.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::time::Instant;

use super::connector::Connector;
use super::{Error, Settings};
use crate::base::body::{Body, BodyError};

/// Smallest read and write buffer of a connection: it takes a head of 64 KiB.
const BUFFER: usize = 72 * 1024;
/// Header fields of an answer.
const HEADERS: usize = 128;
/// Unused connections kept on a core, to all origins. Each holds a descriptor, and a buffer of its last answer.
const IDLE_CONNECTIONS: usize = 256;

/// Connections of the runtime it is used on. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Client(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    connector: Connector,
    builder: http1::Builder,
    keep_alive: Duration,
    idle: Mutex<Vec<Idle>>,
}

/// A connection that nobody uses, those used last at the end.
#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Body>,
    origin: Uri,
}

impl Client {
    /// A client without connections yet.
    ///
    /// # Errors
    /// [`Error::Tls`] or [`Error::NoRoots`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self::with(Connector::new(settings)?, settings))
    }

    /// A client with this connector, so that the cores share what it took to make it.
    #[must_use]
    pub fn with(connector: Connector, settings: &Settings) -> Self {
        let mut builder = http1::Builder::new();
        // It bounds what a stalled transfer holds, both ways.
        builder.max_buf_size(settings.buffer.max(BUFFER)).max_headers(HEADERS);
        let keep_alive = settings.keep_alive;
        Self(Arc::new(Pool { connector, builder, keep_alive, idle: Mutex::default() }))
    }

    /// Sends a request to `origin` (scheme and authority) and waits for the answer's head. The request's own URI is its
    /// raw path and query. The body goes on streaming while the answer is read; an answer that comes before the body's
    /// end is returned at once.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::ConnectTimeout`] and [`Error::Url`] when nothing was sent, else [`Error::Broken`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection the request went to; the peer never sees a complete body.
    pub async fn call(&self, origin: &Uri, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        name_host(origin, &mut request)?;
        loop {
            let kept = self.0.take(origin);
            let is_new = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                // Boxed, as it is rare and large: every request would carry the room for it.
                None => Box::pin(self.0.connect(origin)).await?,
            };
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok(response.map(|body| self.relay(body, connection))),
                Err(mut error) => match error.take_message() {
                    // The peer closed a connection that was kept, and nothing of the request was written to it.
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(Error::Broken(error.into_error().into())),
                },
            }
        }
    }

    /// The answer's body, which gives its connection back when it ends.
    fn relay(&self, body: Incoming, connection: Connection) -> Body {
        let mut kept = Kept { body, connection: Some(connection), pool: Arc::downgrade(&self.0) };
        if kept.body.is_end_stream() {
            kept.give_back();
            // An answer without a body may still be one that switches protocols, which its body carries.
            return Body::from(kept.body);
        }
        Body::wrap(kept)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to this origin that was used last. One whose last request still has its body on the way is
    /// passed over.
    fn take(&self, origin: &Uri) -> Option<Connection> {
        let is_fit = |idle: &Idle| {
            let Connection { sender, origin: to } = &idle.connection;
            sender.is_ready()
                && to.authority() == origin.authority()
                && to.scheme() == origin.scheme()
                && idle.since.elapsed() < self.keep_alive
        };
        let mut idle = self.lock();
        let at = idle.iter().rposition(is_fit)?;
        Some(idle.remove(at).connection)
    }

    async fn connect(&self, origin: &Uri) -> Result<Connection, Error> {
        let stream = self.connector.connect(origin.clone()).await?;
        let (sender, driver) = self.builder.handshake(stream).await.map_err(|error| Error::Connect(error.into()))?;
        tokio::spawn(async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(%error, "a connection to an origin broke off");
            }
        });
        Ok(Connection { sender, origin: origin.clone() })
    }

    /// Keeps a connection for the next request.
    fn keep(self: Arc<Self>, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.is_empty() {
            tokio::spawn(expire(Arc::downgrade(&self), self.keep_alive));
        }
        if idle.len() >= IDLE_CONNECTIONS {
            idle.remove(0);
        }
        idle.push(Idle { connection, since: Instant::now() });
    }

    /// Closes what nobody used for too long or the peer closed; whether any connection is left.
    fn sweep(&self) -> bool {
        let mut idle = self.lock();
        idle.retain(|idle| !idle.connection.sender.is_closed() && idle.since.elapsed() < self.keep_alive);
        !idle.is_empty()
    }
}

/// Runs for as long as a pool has connections that nobody uses.
async fn expire(pool: Weak<Pool>, keep_alive: Duration) {
    loop {
        // Some are kept for half as long again; that takes no timer for each of them.
        tokio::time::sleep(keep_alive / 2).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}

/// An answer's body, and the connection it comes by.
#[derive(Debug)]
struct Kept {
    body: Incoming,
    connection: Option<Connection>,
    pool: Weak<Pool>,
}

impl Kept {
    fn give_back(&mut self) {
        if let (Some(connection), Some(pool)) = (self.connection.take(), self.pool.upgrade()) {
            pool.keep(connection);
        }
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            // After an error nothing more is to be had of the connection; the peer may be anywhere in its answer.
            Poll::Ready(Some(Err(_))) => self.connection = None,
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {}
            Poll::Ready(_) => self.give_back(),
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request names whom it is for (RFC 9112 §3.2): where its headers do not, the origin.
fn name_host(origin: &Uri, request: &mut Request<Body>) -> Result<(), Error> {
    if !request.headers().contains_key(header::HOST) {
        let host = origin.authority().map_or("", http::uri::Authority::as_str);
        let host = HeaderValue::from_str(host).map_err(|error| Error::Url(error.into()))?;
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(())
}
