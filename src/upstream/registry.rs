//! The way to a registry: with a `Permit`, or not at all.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, header};

use super::client::{Client, address};
use super::connector::Connector;
use super::origins::{Origin, Origins};
use super::{Error, Settings};
use crate::base::body::Body;
use crate::base::lease::Lease;
use crate::base::secret::Secret;
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
    pub target: String,
    /// The token the registry is shown.
    pub token: Secret,
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
        Self { client: Client::with(connector, settings.keep_alive), origins }
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
        outbound: &Outbound,
        body: &Lease,
        mut failed: impl FnMut(&Origin, &Error),
    ) -> Result<Answered, Error> {
        let bound = permit.ticket().map(|ticket| ticket.origin);
        let mut tried: Vec<OriginId> = Vec::new();
        let mut last = Error::NoOrigin;
        loop {
            let origin = match bound {
                Some(id) => self.origins.find(id).filter(|origin| !tried.contains(&origin.id)),
                None => self.origins.pick(&tried),
            };
            let Some(origin) = origin else { return Err(last) };
            let running = origin.start();
            match self.client.call(request(origin, outbound, body.lend())?).await {
                Ok(response) => return Ok(Answered { response, origin: Arc::clone(origin), running }),
                Err(error) => {
                    failed(origin, &error);
                    if error.was_sent() {
                        return Err(error);
                    }
                    tried.push(origin.id);
                    last = error;
                }
            }
        }
    }
}

fn request(origin: &Origin, outbound: &Outbound, body: Body) -> Result<Request<Body>, Error> {
    let mut request = Request::new(body);
    *request.method_mut() = outbound.method.clone();
    *request.uri_mut() = address(&origin.url, &outbound.target)?;
    request.headers_mut().clone_from(&outbound.headers);
    let mut bearer = b"Bearer ".to_vec();
    bearer.extend_from_slice(outbound.token.expose());
    let mut bearer = HeaderValue::from_maybe_shared(bytes::Bytes::from(bearer))
        .map_err(|error| Error::Url(http::Error::from(error)))?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    Ok(request)
}
