//! A pool of HTTP/1.1 connections to one or several origins.
//!
//! ```text
//! send ─▶ the connection used last that is open ─┬─▶ answer ─ its body's end ─▶ back into the pool
//!      └▶ a new one ─────────────────────────────┘
//! ```
//!
//! A request waits for no other's connection: where none is ready a new one is made, and of those that come back only
//! so many are kept. It lives on one core, and so do its connections: nothing is woken across threads.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::connector::{Connector, Stream, end_well};
use super::h1::head::Outgoing;
use super::h1::{self, Fault, Head};
use super::{Error, Settings};
use crate::base::body::{Body, BodyError};

/// Unused connections kept on a core, to all origins. Each holds a descriptor, and no buffer.
const IDLE_CONNECTIONS: usize = 1024;
/// How often the unused are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// Connections of the runtime it is used on. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Client(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    connector: Connector,
    buffer: usize,
    keep_alive: Duration,
    unused: Mutex<Unused>,
}

#[derive(Debug, Default)]
struct Unused {
    /// Those used last at the end.
    idle: VecDeque<Idle>,
    /// Whether [`expire`] runs.
    is_swept: bool,
}

/// A connection that nobody uses.
#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection, and the origin it leads to.
#[derive(Debug)]
struct Connection {
    // Boxed once and for all requests: it is what a request's future would else be made of.
    h1: Box<h1::Connection<Stream>>,
    origin: Uri,
}

/// What came of a request to switch protocols.
#[derive(Debug)]
pub enum Switching {
    /// An answer that is not 101.
    Answer(Response<Body>),
    /// The head of the 101, the connection, and what was said on it already.
    Switched(Box<(Response<()>, Stream, Bytes)>),
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
        let Settings { buffer, keep_alive, .. } = *settings;
        Self(Arc::new(Pool { connector, buffer, keep_alive, unused: Mutex::default() }))
    }

    /// Sends a request to `origin` (scheme and authority) and waits for the answer's head. The request's own URI is its
    /// raw path and query; the length of its body is what the body says. The body goes on streaming while the answer's
    /// is read; an answer that comes before the body's end is returned at once, and the rest of the body stays unread
    /// when the answer's has ended.
    ///
    /// # Errors
    /// [`Error::Connect`] and [`Error::ConnectTimeout`] when nothing was sent, else [`Error::Broken`] or
    /// [`Error::TwoLengths`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection the request went to; the peer never sees a complete body.
    pub fn send(&self, origin: &Uri, request: Request<Body>) -> impl Future<Output = Result<Answer, Error>> + Send {
        let host = origin.authority().map_or("", http::uri::Authority::as_str);
        // Before the future begins, which would hold the request as well.
        let mut outgoing = Outgoing::new(host, request);
        async move {
            loop {
                let kept = self.0.take(origin);
                let is_new = kept.is_none();
                let mut connection = match kept {
                    Some(connection) => connection,
                    // Boxed, as it is rare and large: every request would carry the room for it.
                    None => Box::pin(self.0.connect(origin)).await?,
                };
                connection.h1.start(outgoing);
                match poll_fn(|cx| connection.h1.poll_head(cx)).await {
                    Ok(head) => return Ok(Answer { head, connection, pool: Arc::downgrade(&self.0) }),
                    Err(fault) => match connection.h1.take_unsent() {
                        // The peer closed a connection that was kept, and nothing of the request was written to it.
                        Some(unsent) if !is_new && matches!(fault, Fault::Closed | Fault::Io(_)) => outgoing = unsent,
                        _ => return Err(fault.into()),
                    },
                }
            }
        }
    }
}

/// An answer's head, and the connection that the rest comes by.
#[derive(Debug)]
pub struct Answer {
    head: Head,
    connection: Connection,
    pool: Weak<Pool>,
}

impl Answer {
    /// The answer, whose body gives its connection back when it ends.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let Self { head, mut connection, pool } = self;
        if let Some(whole) = connection.h1.take_whole() {
            give_back(&pool, connection);
            return respond(head, Body::full(whole));
        }
        respond(head, Body::wrap(Rest { connection: Some(connection), is_over: false, failed: None, pool }))
    }

    /// The answer to a request to speak another protocol (RFC 9110 §7.8).
    #[must_use]
    pub fn into_switching(self) -> Switching {
        if self.head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Switching::Answer(self.into_response());
        }
        let (io, said) = self.connection.h1.into_parts();
        end_well(&io);
        Switching::Switched(Box::new((respond(self.head, ()), io, said)))
    }
}

fn respond<B>(head: Head, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

fn give_back(pool: &Weak<Pool>, connection: Connection) {
    if let Some(pool) = pool.upgrade().filter(|_| connection.h1.finish()) {
        pool.keep(connection);
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Unused> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to this origin that was used last; those that the peer closed since are dropped.
    fn take(&self, origin: &Uri) -> Option<Connection> {
        let leads_there = |idle: &Idle| {
            let to = &idle.connection.origin;
            to.authority() == origin.authority() && to.scheme() == origin.scheme()
        };
        let mut unused = self.lock();
        while let Some(at) = unused.idle.iter().rposition(leads_there) {
            let mut last = unused.idle.remove(at)?;
            if last.is_fit(self.keep_alive) {
                return Some(last.connection);
            }
        }
        None
    }

    async fn connect(&self, origin: &Uri) -> Result<Connection, Error> {
        let stream = self.connector.connect(origin.clone()).await?;
        let h1 = Box::new(h1::Connection::new(stream, self.buffer));
        Ok(Connection { h1, origin: origin.clone() })
    }

    /// Keeps a connection for the next request.
    fn keep(self: Arc<Self>, connection: Connection) {
        let mut unused = self.lock();
        if unused.idle.len() >= IDLE_CONNECTIONS {
            unused.idle.pop_front();
        }
        unused.idle.push_back(Idle { connection, since: Instant::now() });
        if !std::mem::replace(&mut unused.is_swept, true) {
            tokio::spawn(expire(Arc::downgrade(&self)));
        }
    }

    /// Closes what nobody used for too long or the peer closed; whether any connection is left.
    fn sweep(&self) -> bool {
        let mut unused = self.lock();
        unused.idle.retain_mut(|idle| idle.is_fit(self.keep_alive));
        unused.is_swept = !unused.idle.is_empty();
        unused.is_swept
    }
}

impl Idle {
    fn is_fit(&mut self, keep_alive: Duration) -> bool {
        self.since.elapsed() < keep_alive && self.connection.h1.is_quiet()
    }
}

/// Runs once in a pool, for as long as it has connections that nobody uses.
async fn expire(pool: Weak<Pool>) {
    loop {
        // One timer for all of them.
        tokio::time::sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}

/// An answer's body, and the connection it comes by.
#[derive(Debug)]
struct Rest {
    /// Until the body's end, or an error after which nothing more is to be had of it.
    connection: Option<Connection>,
    is_over: bool,
    failed: Option<Fault>,
    pool: Weak<Pool>,
}

impl HttpBody for Rest {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(Connection { h1, .. }) = &mut this.connection else {
            // What has failed once must not end well the next time it is asked.
            return Poll::Ready((!this.is_over).then(|| Err(this.failed.take().unwrap_or(Fault::Short).into())));
        };
        match ready!(h1.poll_frame(cx)) {
            Some(Err(fault)) => {
                (this.connection, this.failed) = (None, Some(fault));
                // What came before goes out first: a client that knows that a part is missing has the part, and the head.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => {
                this.is_over = h1.is_over();
                if this.is_over {
                    this.connection.take().into_iter().for_each(|connection| give_back(&this.pool, connection));
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.connection.as_ref().and_then(|connection| connection.h1.left());
        let left = if self.is_over { Some(0) } else { left };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests;
