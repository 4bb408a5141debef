//! A pool of HTTP/1.1 connections to one or several origins.

use std::time::Duration;

use http::{Request, Response, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::Connector;
use super::{Error, Settings};
use crate::base::body::Body;

/// Read and write buffer of a connection: it bounds what a stalled transfer holds, and takes a head of 64 KiB.
const BUFFER: usize = 72 * 1024;
/// Header fields of an answer.
const HEADERS: usize = 128;
/// Unused connections kept for each origin.
const IDLE_CONNECTIONS: usize = 64;

/// Connections of the runtime it is used on. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Client {
    pool: legacy::Client<Connector, Body>,
}

impl Client {
    /// A client without connections yet.
    ///
    /// # Errors
    /// [`Error::Tls`] or [`Error::NoRoots`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self::with(Connector::new(settings)?, settings.keep_alive))
    }

    /// A client with this connector, so that the cores share what it took to make it.
    #[must_use]
    pub fn with(connector: Connector, keep_alive: Duration) -> Self {
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(keep_alive)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(BUFFER)
            .http1_max_headers(HEADERS)
            .build(connector);
        Self { pool }
    }

    /// Sends a request to the origin that its URI names and waits for the answer's head. The body goes on streaming
    /// while the answer is read; an answer that comes before the body's end is returned at once.
    ///
    /// # Errors
    /// [`Error::Connect`] and [`Error::ConnectTimeout`] when nothing was sent, else [`Error::Broken`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection the request went to; the peer never sees a complete body.
    pub async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        match self.pool.request(request).await {
            Ok(response) => Ok(response.map(Body::from)),
            Err(error) if error.is_connect() => Err(connect_error(error)),
            Err(error) => Err(Error::Broken(error.into())),
        }
    }
}

/// Finds our own deadline among the causes; everything else is told as it came.
fn connect_error(error: legacy::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if let Some(Error::ConnectTimeout(after)) = at.downcast_ref::<Error>() {
            return Error::ConnectTimeout(*after);
        }
        cause = at.source();
    }
    Error::Connect(error.into())
}

/// The same raw path and query at an origin; nothing is decoded or normalised.
///
/// # Errors
/// [`Error::Url`] when the parts make no URI.
pub fn address(origin: &Uri, target: &str) -> Result<Uri, Error> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = origin.scheme().cloned();
    parts.authority = origin.authority().cloned();
    parts.path_and_query = Some(target.parse().map_err(|error| Error::Url(http::Error::from(error)))?);
    Uri::from_parts(parts).map_err(|error| Error::Url(http::Error::from(error)))
}
