//! The listening socket, and who gets what it accepts.
//!
//! One socket, and every connection to the worker that has the fewest: with a socket for each worker the kernel would
//! spread connections by a hash, and a client's few long uploads could all meet on one core.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::task::JoinHandle;
use tower::Service;

use super::certificates::Certificates;
use super::connection::Protocols;
use super::drain::{Drain, Report};
use super::observe::{Observer, RequestIds};
use super::slots::Slots;
use super::worker::{self, Accepted, Worker};
use super::{Error, Settings, inbound, refused, tls};
use crate::base::body::Body;
use crate::base::io::{UNSENT, spare_pacing};
use crate::telemetry::labels::Limit;
use crate::telemetry::metrics::Metrics;

/// Connections the kernel holds for us; it takes the smaller of this and `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Pauses after running out of file descriptors: the first, doubled up to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// A silent peer is probed after this long, and again after the second.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// The last bytes of answers get this long on their way to slow clients, and what is cut has the second to be told so.
const LAST_BYTES: Duration = Duration::from_secs(5);
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A listener that is bound and not yet served.
#[derive(Debug)]
pub struct Server {
    socket: TcpListener,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    certificates: Option<Arc<Certificates>>,
    workers: usize,
}

impl Server {
    /// Binds `settings.address`, as many workers to come as the process may use cores.
    ///
    /// # Errors
    /// [`Error::Listen`], or a certificate that cannot be served.
    pub fn bind(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let address = settings.address;
        let certificates = match &settings.tls {
            Some(keys) => Some(Arc::new(Certificates::new(keys, Arc::clone(&metrics))?)),
            None => None,
        };
        let socket = listen(address).map_err(|source| Error::Listen { address, source })?;
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self { socket, settings: Arc::new(settings), metrics, certificates, workers })
    }

    /// With `workers` workers, at least one.
    #[must_use]
    pub fn with_workers(self, workers: usize) -> Self {
        Self { workers: workers.max(1), ..self }
    }

    /// Where it listens, with the port the system chose for port 0.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The certificates it serves, to be replaced while it runs; none without TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// Serves until `drain` closes. Each worker calls `factory` once, on its own thread and inside its runtime, with
    /// its number; the service it gets is cloned for each request. To be called inside a runtime, which runs the
    /// accept loop and nothing else.
    ///
    /// # Errors
    /// [`Error::Tls`], [`Error::Worker`], or [`Error::Listen`] when the socket cannot be waited for.
    pub fn serve<S, F>(self, factory: F, drain: &Drain) -> Result<Serving, Error>
    where
        F: Fn(usize) -> S + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { socket, settings, metrics, certificates, workers } = self;
        let address = settings.address;
        let socket = tokio::net::TcpListener::from_std(socket).map_err(|source| Error::Listen { address, source })?;
        let tls = certificates.map(tls::config).transpose()?;
        let (bytes, time) = settings.refused_body;
        let observer = Arc::new(Observer {
            metrics: Arc::clone(&metrics),
            drain: drain.clone(),
            ids: RequestIds::new(),
            inbound: inbound::Bounds { idle: settings.idle, min_rate: settings.min_rate },
            refused: refused::Bounds { bytes, time },
            headers: settings.headers,
        });
        let slots = Slots::new(settings.connections, settings.connections_per_address, Arc::clone(&metrics));
        let protocols = Arc::new(Protocols::new(Arc::clone(&settings), Arc::clone(&metrics), drain.clone(), tls));
        let factory = Arc::new(factory);
        let workers = (0..workers)
            .map(|index| {
                let (factory, protocols) = (Arc::clone(&factory), Arc::clone(&protocols));
                worker::start(index, factory, protocols, Arc::clone(&observer), drain.clone())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let acceptor = Acceptor { socket, slots, metrics, idle: settings.idle };
        let closing = drain.closing().clone();
        let accepting = tokio::spawn(async move {
            tokio::select! {
                () = acceptor.run(&workers) => {}
                () = closing.cancelled() => {}
            }
            workers.into_iter().map(|worker| worker.done).collect::<Vec<_>>()
        });
        Ok(Serving { accepting, drain: drain.clone() })
    }
}

/// A listener that is served.
#[derive(Debug)]
pub struct Serving {
    accepting: JoinHandle<Vec<tokio::sync::oneshot::Receiver<Infallible>>>,
    drain: Drain,
}

impl Serving {
    /// Leaves: [`Drain::leave`], then every connection ends, and what had to be cut is reported.
    ///
    /// # Cancel safety
    /// Not to be dropped: connections would be left as they are.
    pub async fn leave(self) -> Report {
        let is_quiet = self.drain.leave().await;
        let gone = async {
            for done in self.accepting.await.unwrap_or_default() {
                // The sender is never used: it is dropped when the worker's thread ends.
                let _ = done.await;
            }
        };
        let mut gone = std::pin::pin!(gone);
        let last = if is_quiet { LAST_BYTES } else { LAST_WORDS };
        if tokio::time::timeout(last, gone.as_mut()).await.is_err() {
            self.drain.cutting().cancel();
            gone.await;
        }
        self.drain.report()
    }
}

struct Acceptor {
    socket: tokio::net::TcpListener,
    slots: Arc<Slots>,
    metrics: Arc<Metrics>,
    idle: Duration,
}

impl Acceptor {
    async fn run(&self, workers: &[Worker]) {
        let mut back_off = BACK_OFF.0;
        while let Some(permit) = self.slots.room().await {
            let (stream, peer) = match self.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    // Mostly EMFILE or ENFILE: the connection stays in the backlog, and asking again at once would
                    // only burn the core that is to finish the others.
                    self.metrics.limit_hit(Limit::Descriptors);
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(BACK_OFF.1);
                    continue;
                }
            };
            back_off = BACK_OFF.0;
            if let Err(error) = prepare(&stream, peer, self.idle) {
                tracing::debug!(client = %peer, %error, "a connection broke off");
                continue;
            }
            let least = workers
                .iter()
                .filter(|worker| !worker.sender.is_closed())
                .min_by_key(|worker| worker.load.load(Ordering::Relaxed));
            let Some(worker) = least else { return };
            let slot = self.slots.take(permit, &worker.load);
            // A worker that ended meanwhile drops what it is sent.
            let _ = worker.sender.send(Accepted { stream, peer, slot });
        }
    }

    /// A connection that belongs to no runtime yet: the worker's is to be its only one.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.socket.accept().await?;
        Ok((stream.into_std()?, peer))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' last packets.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What is accepted begins with what the listener has: a pace that was begun is not given up.
    spare_pacing(&SockRef::from(&socket), address.ip());
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes a connection ready: no waiting for full packets, and an end to peers that went without a word, also while
/// bytes for them are unacknowledged (`TCP_USER_TIMEOUT`).
fn prepare(stream: &TcpStream, peer: SocketAddr, idle: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    spare_pacing(&socket, peer.ip());
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1))?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    // Zero would be the system's own, many minutes.
    socket.set_tcp_user_timeout(Some(idle.max(Duration::from_secs(1))))
}

/// Whether only the connection about to be accepted failed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests;
