//! The way to a registry: with a `Permit`, or not at all.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};

use super::client::Client;
use super::connector::Connector;
use super::origins::{Origin, Origins};
use super::{Error, Settings};
use crate::base::body::Body;
use crate::base::lease::Lease;
use crate::policy::permit::Permit;
use crate::upload::ticket::OriginId;

/// A registry, as one core reaches it.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
    origins: Arc<Origins>,
}

/// A request for a registry, without its body.
#[derive(Debug)]
pub struct Outbound {
    /// The method.
    pub method: Method,
    /// The headers, already cleaned; no Authorization.
    pub headers: HeaderMap,
    /// Raw path and query.
    pub target: PathAndQuery,
    /// The token the registry is shown, as its Authorization field.
    pub bearer: HeaderValue,
}

/// An answer, and who gave it.
#[derive(Debug)]
pub struct Answered {
    /// The answer's head, its body still streaming.
    pub response: Response<Body>,
    /// The origin.
    pub origin: Arc<Origin>,
    /// Holds the origin's count for as long as the answer streams.
    pub running: super::origins::Running,
}

impl Registry {
    /// A registry reached through this connector.
    #[must_use]
    pub fn new(connector: Connector, settings: &Settings, origins: Arc<Origins>) -> Self {
        Self { client: Client::with(connector, settings), origins }
    }

    /// The origins, shared by all cores.
    #[must_use]
    pub fn origins(&self) -> &Arc<Origins> {
        &self.origins
    }

    /// Sends a permitted request: to the origin that has the upload, else to the less busy one; to the next one when
    /// it could not be connected to and the body is untouched. `failed` hears of each origin that could not be reached.
    ///
    /// # Errors
    /// The last origin's [`Error`]; [`Error::NoOrigin`] when the upload's origin is no longer one of the site's.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the registry never sees a complete body.
    pub async fn send(
        &self,
        permit: &Permit,
        outbound: &mut Outbound,
        body: &Lease,
        mut failed: impl FnMut(&Origin, &Error),
    ) -> Result<Answered, Error> {
        let bound = permit.ticket().map(|ticket| ticket.origin);
        let untouched = body.progress();
        let mut tried: Vec<OriginId> = Vec::new();
        let mut last = Error::NoOrigin;
        loop {
            let origin = match bound {
                Some(id) => self.origins.find(id).filter(|origin| !tried.contains(&origin.id)),
                None => self.origins.pick(&tried),
            };
            let Some(origin) = origin else { return Err(last) };
            let running = origin.start();
            // With no other origin left to try, the request takes what it would otherwise copy.
            let is_last = bound.is_some() || tried.len().saturating_add(1) >= self.origins.len();
            let headers = if is_last { std::mem::take(&mut outbound.headers) } else { outbound.headers.clone() };
            match self.client.send(&origin.url, request(outbound, headers, body.lend())).await {
                Ok(answer) => {
                    return Ok(Answered { response: answer.into_response(), origin: Arc::clone(origin), running });
                }
                Err(error) => {
                    failed(origin, &error);
                    // Nothing was written, but some of the body may have been read to be.
                    if error.was_sent() || body.progress() != untouched {
                        return Err(error);
                    }
                    tried.push(origin.id);
                    last = error;
                }
            }
        }
    }
}

fn request(outbound: &Outbound, headers: HeaderMap, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = outbound.method.clone();
    *request.uri_mut() = Uri::from(outbound.target.clone());
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::AUTHORIZATION, outbound.bearer.clone());
    request
}
