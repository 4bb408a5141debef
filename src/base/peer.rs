//! The other end of a client connection, put into each request's extensions, in an `Arc`, by the listener.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// An address as it is written (RFC 5952, RFC 6943 §3.1.1).
#[must_use]
pub fn text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    // Every request says it twice, and the way by `Display` is a long one.
    let mut text = String::with_capacity(15);
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// What is known about a connection before a request is read from it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address; behind PROXY protocol the one it gave.
    pub address: SocketAddr,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// Whether the connection came through TLS that ended here.
    pub secure: bool,
    /// The TLS server name (RFC 6066 §3) the client asked for.
    pub server_name: Option<Arc<str>>,
}

#[cfg(test)]
mod tests;
