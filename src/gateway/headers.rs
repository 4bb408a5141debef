//! What is said about the client to those behind us, and what never crosses in either direction.
//!
//! Hop-by-hop fields (RFC 9110 §7.6.1) are removed first and ours are set after, so that a client's `Connection` field
//! cannot name one of ours away. `Forwarded` (RFC 7239) and every `X-Forwarded-*` of a stranger are removed: registries
//! build Locations from them.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use ipnet::IpNet;

use super::ambiguous::is_host;
use crate::base::peer::{self, Peer};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Who a client is and what it holds, which whoever takes trailers for fields of the head would believe.
const OF_HEADS: [HeaderName; 2] = [X_REAL_IP, header::COOKIE];
/// Addresses read of one `X-Forwarded-For`; more is nobody's honest chain.
const CHAIN: usize = 32;

/// Fields of one connection only. `TE` is one too, but for its `trailers`.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "proxy-authenticate"
            | "transfer-encoding"
            | "upgrade"
            | "te"
    )
}

/// Fields that a client must not say about itself, or that are for us. `X_Forwarded_For` is `X-Forwarded-For` to
/// whoever turns names into variables, as CGI and Rack do.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "forwarded" | "expect") || name.starts_with("x-forwarded-") || name.contains('_')
}

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
    /// stranger. `asked` is whom the request itself is for.
    #[must_use]
    pub fn of(headers: &HeaderMap, asked: Option<Authority>, peer: &Peer, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
        let mut client = peer.address.ip().to_canonical();
        let mut via = Vec::new();
        let mut secure = peer.secure;
        let mut host = asked;
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
            host = last(headers, &X_FORWARDED_HOST).and_then(forwarded_host).or(host);
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

fn forwarded_host(text: &str) -> Option<Authority> {
    text.parse().ok().filter(is_host)
}

/// Cleans a client's headers and says in them who it is. `host` replaces the one asked for where it is given.
pub fn clean_request(headers: &mut HeaderMap, client: &ClientOrigin, host: Option<&HeaderValue>) {
    strip_hop_by_hop(headers);
    remove(headers, is_ours);
    keep_trailers_out(headers);
    join_cookies(headers);
    let mut chain = peer::text(client.address);
    if let Ok(address) = HeaderValue::from_str(&chain) {
        headers.insert(X_REAL_IP, address);
    }
    for hop in &client.via {
        chain.push_str(", ");
        chain.push_str(&peer::text(*hop));
    }
    if let Ok(chain) = HeaderValue::from_maybe_shared(Bytes::from(chain)) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    let asked = client.host.as_ref().and_then(|asked| HeaderValue::from_str(asked.as_str()).ok());
    if let Some(asked) = asked {
        headers.insert(header::HOST, host.unwrap_or(&asked).clone());
        headers.insert(X_FORWARDED_HOST, asked);
    } else if let Some(host) = host {
        headers.insert(header::HOST, host.clone());
    }
}

/// A trailer goes on only if it was promised, and none is cleaned as a head is: a promise of a field that a head may not
/// have, or that has another value there, is not passed on.
fn keep_trailers_out(headers: &mut HeaderMap) {
    let is_harmless = |name: &[u8]| {
        let unwanted = |name: &HeaderName| is_ours(name) || is_hop_by_hop(name) || OF_HEADS.contains(name);
        HeaderName::from_bytes(name.trim_ascii()).is_ok_and(|name| !unwanted(&name))
    };
    let mut promises = headers.get_all(header::TRAILER).iter();
    if promises.any(|names| !names.as_bytes().split(|byte| *byte == b',').all(is_harmless)) {
        headers.remove(header::TRAILER);
    }
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 has one field of them (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        cookie.set_sensitive(true);
        headers.insert(header::COOKIE, cookie);
    }
}

/// Removes the fields of these names; most messages have none, which is found out without hashing any.
fn remove(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    if headers.keys().any(&is_unwanted) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| is_unwanted(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// Whether a request asks for another protocol (RFC 9110 §7.8): by a field that names one. `Connection: upgrade` alone
/// does not: nginx sends that with every request where it was told to pass on upgrades.
#[must_use]
pub fn asks_to_switch(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|protocol| !protocol.is_empty())
}

/// Removes what belongs to one connection only, and what `Connection` names. `TE: trailers` stays (RFC 9110 §10.1.4).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| !FRAMING.contains(name))
        .collect();
    let trailers = headers.get_all(header::TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
        && !named.contains(&header::TE);
    for name in named {
        headers.remove(name);
    }
    remove(headers, is_hop_by_hop);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Fields that a `Connection` field cannot take out: without them the message, or who sends it, would be another.
const FRAMING: [HeaderName; 3] = [header::CONTENT_LENGTH, header::HOST, header::AUTHORIZATION];

#[cfg(test)]
mod tests;
