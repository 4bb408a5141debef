//! Which site a request is for, and which of its parts: the registry, the token endpoint, the web host.

use std::convert::Infallible;
use std::future::Future;
use std::mem::take;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use ipnet::IpNet;
use tower::Service;

use crate::base::body::Body;
use crate::base::peer::Peer;
use crate::endpoints::proxy::Proxy;
use crate::endpoints::token::TokenEndpoint;
use crate::gateway;
use crate::gateway::ambiguous::{Ambiguous, requested_host};
use crate::gateway::headers::ClientOrigin;
use crate::gateway::respond::plain;
use crate::gateway::site::Site;
use crate::oci::error::ErrorCode;
use crate::oci::route::RouteKind;
use crate::telemetry::outcome::{Record, Side};
use crate::upstream::registry::Registry;

/// The service of one core; cloned for each request.
#[derive(Clone, Debug)]
pub struct Dispatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    trusted: Vec<IpNet>,
    /// By `host:port` or `host`, lower case. They are few.
    sites: Vec<(String, Arc<Doors>)>,
    /// `sites."*"`
    any: Option<Arc<Doors>>,
}

/// What one core opens for a site.
#[derive(Debug)]
pub struct Doors {
    /// The site, as all cores share it.
    pub site: Arc<Site>,
    /// The path of its token endpoint.
    pub token_path: String,
    /// Its token endpoint.
    pub tokens: TokenEndpoint,
    /// Its registry.
    pub registry: Option<Registry>,
    /// Its web host.
    pub proxy: Option<Proxy>,
}

impl Dispatch {
    /// A service for these sites, behind these trusted proxies.
    #[must_use]
    pub fn new(doors: Vec<Doors>, trusted: Vec<IpNet>) -> Self {
        let mut sites = Vec::new();
        let mut any = None;
        for doors in doors.into_iter().map(Arc::new) {
            if &*doors.site.name == "*" {
                any = Some(doors);
            } else {
                sites.push((doors.site.name.to_string(), doors));
            }
        }
        Self(Arc::new(Inner { trusted, sites, any }))
    }
}

impl Inner {
    /// `host:port` wins over `host`, and `host` over `*`.
    fn site(&self, asked: Option<&Authority>) -> Option<&Arc<Doors>> {
        let of =
            |host: &str| self.sites.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, doors)| doors);
        let named = asked.and_then(|asked| of(asked.as_str()).or_else(|| of(asked.host())));
        named.or(self.any.as_ref())
    }

    async fn handle(&self, request: &mut Request<Body>) -> Response<Body> {
        let (Some(peer), Some(record)) =
            (request.extensions().get::<Arc<Peer>>(), request.extensions().get::<Record>())
        else {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, "a request without a connection");
        };
        let (asked, ambiguous) = match requested_host(request) {
            Ok(asked) => (asked, None),
            Err(ambiguous) => (None, Some(ambiguous)),
        };
        let client = ClientOrigin::of(request.headers(), asked, peer, &self.trusted);
        let record = record.clone();
        record.with(|outcome| outcome.client = client.address);
        if let Some(ambiguous) = ambiguous {
            record.failed(Side::Client, ambiguous.to_string());
            let code = if ambiguous == Ambiguous::Method { ErrorCode::Unsupported } else { ErrorCode::Unknown };
            return plain(ambiguous.status(), code, &ambiguous.to_string());
        }
        let Some(doors) = self.site(client.host.as_ref()) else {
            record.failed(Side::Client, "no site of that name");
            return plain(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, "this gateway serves no site of that name");
        };
        record.with(|outcome| outcome.site = Some(Arc::clone(&doors.site.name)));
        doors.handle(&client, &record, request).await
    }
}

impl Doors {
    async fn handle(&self, client: &ClientOrigin, record: &Record, request: &mut Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if path == self.token_path {
            // Boxed, as the web host's below: the registry's requests would carry the room for it.
            return Box::pin(self.tokens.handle(client, record, take(request))).await;
        }
        match (&self.registry, &self.proxy) {
            // GitLab's dependency proxy has names of its own under `/v2/`, on the web host.
            (Some(registry), proxy) if is_registry(path) && !(proxy.is_some() && is_dependency_proxy(path)) => {
                gateway::handle(&self.site, registry, client, record, request).await
            }
            (_, Some(proxy)) => Box::pin(proxy.handle(client, record, take(request))).await,
            (_, None) if path == "/" && matches!(*request.method(), Method::GET | Method::HEAD) => {
                record.with(|outcome| outcome.route = RouteKind::Root);
                let mut alive = Response::new(Body::full("{}"));
                alive.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
                alive
            }
            (_, None) => {
                record.with(|outcome| outcome.route = RouteKind::Other);
                plain(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, "nothing is served at this path")
            }
        }
    }
}

fn is_registry(path: &str) -> bool {
    ["/v2", "/gitlab/v1"]
        .iter()
        .any(|base| path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// `/v2/<group>/dependency_proxy/…`
fn is_dependency_proxy(path: &str) -> bool {
    path.starts_with("/v2/") && path.contains("/dependency_proxy/containers/")
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        // Lent from here on: of what is handed over, each function it passes through keeps the room for it.
        Box::pin(async move { Ok(inner.handle(&mut request).await) })
    }
}
