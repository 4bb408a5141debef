//! A client's connection once it speaks another protocol (RFC 9110 §7.8).
//!
//! Who serves the connection puts an [`Upgrade`] into a request that asks for it; who answers the request takes it out, and
//! has the connection when its 101 is out.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// A connection, whatever it is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where the connection is handed over.
pub type Handover = oneshot::Sender<Switched>;

/// The connection.
pub struct Switched {
    /// What is said now is of the other protocol.
    pub io: Box<dyn Io>,
    /// What must live as long as the connection.
    pub place: Box<dyn Any + Send>,
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Switched")
    }
}

/// The connection, as soon as it is handed over.
#[derive(Debug)]
pub struct Upgrade(oneshot::Receiver<Switched>);

/// How it lies in a request, whose extensions must be able to be copied.
#[derive(Clone)]
struct Offered(Arc<Mutex<Option<Upgrade>>>);

impl Upgrade {
    /// Offers the connection to whoever answers `request`.
    pub fn offer<B>(request: &mut Request<B>) -> Handover {
        let (handover, taken) = oneshot::channel();
        request.extensions_mut().insert(Offered(Arc::new(Mutex::new(Some(Self(taken))))));
        handover
    }

    /// What was offered with this request.
    pub fn of<B>(request: &mut Request<B>) -> Option<Self> {
        let Offered(offered) = request.extensions_mut().remove()?;
        offered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The connection; none: the answer was not 101, or never got out.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection when it comes.
    pub async fn switched(self) -> Option<Switched> {
        self.0.await.ok()
    }
}
