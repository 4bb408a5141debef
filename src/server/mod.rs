//! Inbound sockets: listener, PROXY protocol, TLS, HTTP connections, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::sign::CertifiedKey;

/// `[listeners.public]`, `[limits]`, `[timeouts]`, `[drain]`, as far as connections are concerned.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificates, chosen by SNI, the first for any other name; none: plain HTTP.
    pub tls: Option<Vec<Arc<CertifiedKey>>>,
    /// Peers that must send PROXY protocol.
    pub proxy_protocol: Vec<IpNet>,
    /// `limits.connections`
    pub connections: usize,
    /// `limits.connections_per_address`; 0: no bound.
    pub connections_per_address: usize,
    /// `limits.header_bytes`
    pub header_bytes: usize,
    /// `limits.headers`
    pub headers: usize,
    /// `limits.h2_streams`
    pub h2_streams: u32,
    /// `timeouts.handshake`
    pub handshake: Duration,
    /// `timeouts.request_head`
    pub request_head: Duration,
    /// `timeouts.idle`
    pub idle: Duration,
    /// `timeouts.keep_alive`
    pub keep_alive: Duration,
    /// `limits.min_rate`, bytes a second of a request body; 0: no bound.
    pub min_rate: u64,
    /// `limits.drain_bytes` and `timeouts.drain`: what is read of a refused body.
    pub refused_body: (u64, Duration),
    /// `drain.timeout`
    pub drain_timeout: Duration,
    /// `drain.delay`
    pub drain_delay: Duration,
}
