//! A worker: a thread with a runtime of its own, on which the whole life of its connections runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::Error;
use super::connection::Protocols;
use super::drain::Drain;
use super::observe::Observer;
use super::slots::Slot;
use super::stack::{Inner, Stack};

/// How long a worker's blocking tasks are waited for at the end.
const LAST_WAIT: Duration = Duration::from_millis(100);

/// A connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) slot: Slot,
}

/// A worker as the listener sees it. Dropping the sender lets it end with its last connection.
#[derive(Debug)]
pub(super) struct Worker {
    /// Not bounded itself: a connection in it has its place among `limits.connections`.
    pub(super) sender: mpsc::UnboundedSender<Accepted>,
    /// Connections it has, those on their way included.
    pub(super) load: Arc<AtomicUsize>,
    /// Resolves, with an error, when its thread has ended and everything on it was dropped.
    pub(super) done: oneshot::Receiver<Infallible>,
}

/// Starts worker `index`; `factory` is called on its thread, inside its runtime.
///
/// # Errors
/// [`Error::Worker`]
pub(super) fn start<S, F>(
    index: usize,
    factory: Arc<F>,
    protocols: Arc<Protocols>,
    observer: Arc<Observer>,
    drain: Drain,
) -> Result<Worker, Error>
where
    F: Fn(usize) -> S + Send + Sync + 'static,
    S: Inner,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Worker)?;
    let (sender, mut receiver) = mpsc::unbounded_channel::<Accepted>();
    let (last, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("tidegate-{index}"));
    let run = move || {
        runtime.block_on(async {
            let stack = Stack::new(factory(index), observer);
            let connections = TaskTracker::new();
            let serving = async {
                while let Some(Accepted { stream, peer, slot }) = receiver.recv().await {
                    let protocols = Arc::clone(&protocols);
                    connections.spawn(protocols.serve(stream, peer, slot, stack.clone()));
                }
                connections.close();
                connections.wait().await;
            };
            tokio::select! {
                () = serving => {}
                () = drain.cutting().cancelled() => {}
            }
        });
        // Drops every connection that is left, and with it the record of what it did.
        runtime.shutdown_timeout(LAST_WAIT);
        drop(last);
    };
    thread.spawn(run).map_err(Error::Worker)?;
    Ok(Worker { sender, load: Arc::default(), done })
}
