//! One client connection, from its first byte to its last, on one worker.
//!
//! ```text
//! TCP ─▶ PROXY header ─▶ TLS ─▶ ALPN ─┬─ h2 ───────────────┐
//!      └────── one deadline ─────────┘└─ http/1.1, none ─▶ h1 ┴▶ stack ▶ the service
//! ```
//!
//! HTTP/2 is spoken by ALPN only; on a plain connection its preface is a bad request.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::activity::{Activity, Expired, Watch};
use super::drain::Drain;
use super::slots::{Slot, TooMany};
use super::socket::Socket;
use super::stack::{Answering, Inner, Stack};
use super::tls::accept::{Accepted, accept};
use super::tls::records::sealed_length;
use super::tls::stream::Stream;
use super::{Settings, h1, h2, proxy_protocol};
use crate::base::body::Body;
use crate::base::io::WriteIdle;
use crate::base::peer::Peer;
use crate::telemetry::labels::Limit;
use crate::telemetry::metrics::Metrics;

/// Bytes read at a time of heads over HTTP/1: what comes with one of its body lies here until somebody wants it, which a
/// slow authority may have to allow first. Less than two TLS records would be copied once more.
const H1_FIRST_READ: usize = 32 * 1024;
/// How long a connection that was told to end may take to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Protocols {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    drain: Drain,
    tls: Option<Arc<rustls::ServerConfig>>,
    h2: Arc<h2::Protocol>,
}

impl Protocols {
    pub(super) fn new(
        settings: Arc<Settings>,
        metrics: Arc<Metrics>,
        drain: Drain,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let h2 = Arc::new(h2::Protocol::new(&settings, Arc::clone(&metrics)));
        Self { settings, metrics, drain, tls, h2 }
    }

    /// Serves a connection to its end.
    ///
    /// # Cancel safety
    /// Dropping the future cuts the connection.
    pub(super) async fn serve<S: Inner>(
        self: Arc<Self>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        slot: Slot,
        stack: Stack<S>,
    ) {
        // Boxed, and so is what comes of it: else the connection's task would keep the room for both as long as it lives.
        let establishing = Box::pin(self.establish(stream, peer, slot));
        match tokio::time::timeout(self.settings.handshake, establishing).await {
            Ok(Ok(established)) => self.run(established, stack).await,
            Ok(Err(error)) => tracing::debug!(client = %peer, %error, "a connection was not established"),
            Err(_) => {
                self.metrics.limit_hit(Limit::Handshake);
                tracing::debug!(client = %peer, "a handshake took too long");
            }
        }
    }

    /// Everything before the first request.
    async fn establish(
        &self,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        mut slot: Slot,
    ) -> io::Result<Box<Established>> {
        let stream = TcpStream::from_std(stream)?;
        let local = stream.local_addr()?;
        let (stream, address) = if proxy_protocol::is_expected(&self.settings.proxy_protocol, peer.ip()) {
            proxy_protocol::accept(stream, peer).await?
        } else {
            (Socket::new(stream), peer)
        };
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        slot.count_for(address.ip()).map_err(|TooMany| io::Error::new(io::ErrorKind::QuotaExceeded, TooMany))?;
        let mut peer = Peer { address, local, secure: false, server_name: None };
        let Some(config) = &self.tls else {
            let transport = Transport::Plain(Box::new(stream));
            return Ok(Box::new(Established { transport, peer, slot }));
        };
        let Accepted { stream, server_name, h2 } = accept(config, stream, self.settings.buffer_bytes).await?;
        peer.secure = true;
        peer.server_name = server_name;
        let transport = if h2 { Transport::H2(Box::new(stream)) } else { Transport::H1(Box::new(stream)) };
        Ok(Box::new(Established { transport, peer, slot }))
    }

    async fn run<S: Inner>(&self, established: Box<Established>, stack: Stack<S>) {
        let Established { transport, peer, slot } = unbox(established);
        let activity = Activity::new(self.settings.request_head, self.settings.keep_alive);
        let client = peer.address;
        let service = {
            let (peer, activity) = (Arc::new(peer), Arc::clone(&activity));
            move |request: Request<Body>| stack.call(request, &peer, &activity)
        };
        match transport {
            Transport::Plain(stream) => self.run_h1(unbox(stream), slot, service, activity, client).await,
            Transport::H1(stream) => self.run_h1(unbox(stream), slot, service, activity, client).await,
            Transport::H2(stream) => {
                let (stream, protocol) = (unbox(stream), Arc::clone(&self.h2));
                let connection = Box::new(h2::Connection::new(stream, service, protocol, Arc::clone(&activity)));
                self.drive(connection, activity, client).await;
                drop(slot);
            }
        }
    }

    async fn run_h1<T, S, F>(&self, io: T, slot: Slot, service: S, activity: Arc<Activity>, client: SocketAddr)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Fn(Request<Body>) -> Answering<F> + Send,
        F: Future<Output = Result<http::Response<Body>, Infallible>> + Send,
    {
        let bounds = h1::Bounds {
            header_bytes: self.settings.header_bytes,
            headers: self.settings.headers,
            first: sealed_length(self.settings.buffer_bytes.min(H1_FIRST_READ)),
            read: sealed_length(self.settings.buffer_bytes),
            written: self.settings.buffer_bytes,
            refused: self.settings.refused_body,
        };
        let io = WriteIdle::new(io, self.settings.idle);
        let metrics = Arc::clone(&self.metrics);
        let connection = h1::Connection::new(io, service, slot, Arc::clone(&activity), metrics, bounds, client);
        self.drive(Box::new(connection), activity, client).await;
    }

    /// Runs a connection until it ends, is quiet for too long, or the process leaves.
    ///
    /// The connection comes boxed: a future keeps its arguments beside what they are moved to.
    async fn drive<C: Driven>(&self, connection: Box<C>, activity: Arc<Activity>, client: SocketAddr) {
        if let Err(error) = self.run_to_end(connection, activity).await {
            self.note(client, &error);
        }
    }

    async fn run_to_end<C: Driven>(&self, mut connection: Box<C>, activity: Arc<Activity>) -> Result<(), C::Error> {
        let mut watch = Watch::new(Arc::clone(&activity));
        let closing = self.drain.closing().cancelled();
        tokio::select! {
            biased;
            ended = &mut *connection => return ended,
            () = closing => {}
            // After the connection, whose progress it looks at.
            expired = poll_fn(|cx| watch.poll_expired(cx)) => return match expired {
                Expired::Quiet => {
                    self.metrics.limit_hit(Limit::KeepAlive);
                    connection.leave();
                    loop {
                        match tokio::time::timeout(GOOD_BYE, &mut *connection).await {
                            Ok(ended) => return ended,
                            // A request that crossed the good-bye is a request.
                            Err(_) if activity.is_busy() => {}
                            Err(_) => return Ok(()),
                        }
                    }
                }
                Expired::Silent => {
                    self.metrics.limit_hit(Limit::RequestHead);
                    Ok(())
                }
                Expired::Head => {
                    self.metrics.limit_hit(Limit::RequestHead);
                    Box::pin(connection.give_up()).await;
                    Ok(())
                }
            },
        }
        connection.leave();
        connection.await
    }

    /// How a connection ended that did not end well. A client that hangs up is nothing to wake anyone for.
    fn note(&self, client: SocketAddr, error: &(dyn std::error::Error + 'static)) {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        if causes
            .any(|cause| cause.downcast_ref().is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::TimedOut))
        {
            self.metrics.limit_hit(Limit::Idle);
        }
        tracing::debug!(%client, %error, "a connection broke off");
    }
}

struct Established {
    transport: Transport,
    peer: Peer,
    slot: Slot,
}

enum Transport {
    Plain(Box<Socket<TcpStream>>),
    H1(Box<Stream<Socket<TcpStream>>>),
    H2(Box<Stream<Socket<TcpStream>>>),
}

/// What is in a box, which is gone then: a future that takes it apart keeps the box to its end.
#[expect(clippy::boxed_local, reason = "to take it out of its box is all this does")]
fn unbox<T>(boxed: Box<T>) -> T {
    *boxed
}

/// A connection of either version.
trait Driven: Future<Output = Result<(), Self::Error>> + Unpin {
    type Error: std::error::Error + 'static;

    /// Ends with the answers under way: `Connection: close`, or GOAWAY (RFC 9113 §6.8).
    fn leave(&mut self);

    /// Ends while a head is awaited, and says why where that can be said.
    fn give_up(self) -> impl Future<Output = ()> + Send;
}

impl<T, S, F> Driven for h1::Connection<T, S, F>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Body>) -> F + Send,
    F: Future<Output = Result<http::Response<Body>, Infallible>> + Send,
{
    type Error = io::Error;

    fn leave(&mut self) {
        Self::leave(self);
    }

    fn give_up(self) -> impl Future<Output = ()> + Send {
        Self::give_up(self)
    }
}

impl<T, S, F> Driven for h2::Connection<T, S, F>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<http::Response<Body>, Infallible>>,
{
    type Error = h2::Error;

    fn leave(&mut self) {
        Self::leave(self);
    }

    fn give_up(self) -> impl Future<Output = ()> + Send {
        // Bytes between requests begin no head here, so none was cut short.
        drop(self);
        std::future::ready(())
    }
}

#[cfg(test)]
mod tests;
