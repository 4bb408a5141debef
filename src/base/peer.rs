//! The other end of a client connection, put into each request's extensions by the listener.

use std::net::SocketAddr;
use std::sync::Arc;

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
