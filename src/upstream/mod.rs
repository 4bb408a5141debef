//! Connections to registries and authorities: origins, pools, TLS, and nothing about tokens.
//!
//! It must never send a request twice unless no byte of it was sent, and never follow a redirect.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How one kind of peer is reached.
#[derive(Debug)]
pub struct Settings {
    /// `scheme://host[:port]` of each; path empty or `/`.
    pub origins: Vec<http::Uri>,
    /// Private roots; none: the system's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The client certificate chain and key.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// `timeouts.connect`: TCP and TLS together.
    pub connect: Duration,
    /// `timeouts.idle`: of a body, each direction.
    pub idle: Duration,
    /// `timeouts.response`: the answer's head, after the request's last byte.
    pub response: Duration,
    /// How long an unused connection is kept.
    pub keep_alive: Duration,
}
