//! Inbound sockets: listener, PROXY protocol, TLS, HTTP connections, drain.
//!
//! ```text
//! listener ─▶ worker (a thread, a runtime) ─▶ proxy_protocol ─▶ tls ─▶ connection ─▶ stack ─▶ the service
//!   slots: how many, from whom                  └── one deadline ──┘     activity       │
//!   descriptors: what the system allows        h1, framing: one meaning; h2: calm, windows │
//!                                                                          observe: record, inbound (idle, rate),
//!                                                                          refused (what nobody reads)
//! drain: serving ─▶ unready ─▶ draining ─▶ closed, and what was cut
//! ```
//!
//! A connection's whole life stays on one worker. What workers share is read-mostly or a counter.
//!
//! It must never know routes, tokens or sites, never put a deadline over a whole body, and never let an answer be
//! lost to a reset while the client still writes within the bounds it was given.

mod activity;
pub mod certificates;
mod connection;
pub mod descriptors;
pub mod drain;
pub mod framing;
pub mod h1;
mod h2;
mod inbound;
pub mod listener;
mod message;
pub mod observe;
pub mod proxy_protocol;
pub mod refused;
mod slots;
pub mod socket;
mod stack;
pub mod tls;
mod worker;

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
    /// `limits.buffer_bytes`
    pub buffer_bytes: usize,
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

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The list of certificates is empty, or one of its entries is.
    #[error("there is no certificate to serve")]
    NoCertificate,
    /// A certificate is not X.509.
    #[error("a certificate cannot be read")]
    Certificate,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// A worker cannot be started.
    #[error("a worker cannot be started")]
    Worker(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
