//! What is said about the client to those behind us, and what never crosses in either direction.
//!
//! Hop-by-hop fields (RFC 9110 §7.6.1) are removed first and ours are set after, so that a client's `Connection` field
//! cannot name one of ours away. `Forwarded` (RFC 7239) and every `X-Forwarded-*` of a stranger are removed: registries
//! build Locations from them.

use std::net::{IpAddr, SocketAddr};

use http::Request;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use ipnet::IpNet;

use crate::base::peer::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Addresses read of one `X-Forwarded-For`; more is nobody's honest chain.
const CHAIN: usize = 32;

const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The client as it reached the outermost proxy that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOrigin {
    /// Its address.
    pub address: IpAddr,
    /// Whether it came by TLS.
    pub secure: bool,
    /// The host, and port where it is not the scheme's own, that it asked for.
    pub host: Option<Authority>,
    /// Trusted proxies between it and us, the farthest first.
    via: Vec<IpAddr>,
}

impl ClientOrigin {
    /// Reads the connection, and `X-Forwarded-*` as far as `trusted` proxies wrote them: from the right to the first
    /// stranger.
    #[must_use]
    pub fn of<B>(request: &Request<B>, peer: &Peer, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
        let headers = request.headers();
        let mut client = peer.address.ip().to_canonical();
        let mut via = Vec::new();
        let mut secure = peer.secure;
        let mut host = requested_host(request);
        if is_trusted(&client) {
            let chain = headers
                .get_all(X_FORWARDED_FOR)
                .iter()
                .rev()
                .flat_map(|value| value.to_str().unwrap_or("").rsplit(',').map(hop).collect::<Vec<_>>());
            for address in chain.take(CHAIN) {
                let Some(address) = address else { break };
                via.insert(0, client);
                client = address.to_canonical();
                if !is_trusted(&client) {
                    break;
                }
            }
            secure = last(headers, &X_FORWARDED_PROTO).map_or(secure, |scheme| scheme.eq_ignore_ascii_case("https"));
            host = last(headers, &X_FORWARDED_HOST).and_then(|host| host.parse().ok()).or(host);
        }
        Self { address: client, secure, host, via }
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// An address of the chain; some balancers write the port as well.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|hop| hop.ip()))
}

/// The last value a trusted proxy wrote.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// Whom the request is for: `:authority` or an absolute-form target, else Host.
#[must_use]
pub fn requested_host<B>(request: &Request<B>) -> Option<Authority> {
    let asked = match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => request.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok()),
    };
    // A host has no user (RFC 9110 §7.2), and what comes before an `@` must not reach a realm.
    asked.filter(|asked| !asked.as_str().contains('@'))
}

/// Cleans a client's headers and says in them who it is. `host` replaces the one asked for where it is given.
pub fn clean_request(headers: &mut HeaderMap, client: &ClientOrigin, host: Option<&HeaderValue>) {
    strip_hop_by_hop(headers);
    headers.remove(header::FORWARDED);
    headers.remove(header::EXPECT);
    join_cookies(headers);
    // `X_Forwarded_For` is `X-Forwarded-For` to whoever turns names into variables, as CGI and Rack do.
    let is_spoofable = |name: &&HeaderName| name.as_str().starts_with("x-forwarded-") || name.as_str().contains('_');
    let spoofable: Vec<HeaderName> = headers.keys().filter(is_spoofable).cloned().collect();
    for name in spoofable {
        headers.remove(name);
    }
    let chain = std::iter::once(&client.address).chain(&client.via).map(IpAddr::to_string).collect::<Vec<_>>();
    set(headers, X_FORWARDED_FOR, &chain.join(", "));
    set(headers, X_REAL_IP, &client.address.to_string());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    if let Some(asked) = &client.host {
        set(headers, X_FORWARDED_HOST, asked.as_str());
        set(headers, header::HOST, asked.as_str());
    }
    if let Some(host) = host {
        headers.insert(header::HOST, host.clone());
    }
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 has one field of them (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(mut cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        cookie.set_sensitive(true);
        headers.insert(header::COOKIE, cookie);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Removes what belongs to one connection only, and what `Connection` names. `TE: trailers` stays (RFC 9110 §10.1.4).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| !FRAMING.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    let trailers = headers.get_all(header::TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Fields that a `Connection` field cannot take out: without them the message, or who sends it, would be another.
const FRAMING: [HeaderName; 3] = [header::CONTENT_LENGTH, header::HOST, header::AUTHORIZATION];

#[cfg(test)]
mod tests;
