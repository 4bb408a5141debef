//! Connections to registries, authorities and GitLab's web host; nothing about tokens.
//!
//! ```text
//! Registry::send(&Permit, …) ─┐
//! Client::send(…) ────────────┴─▶ Client ─▶ its pool ─▶ h1 ─▶ connector: TCP, TLS, deadline ─▶ origin
//!                                             origins: which one, how busy, up or down
//! ```
//!
//! A `Client` belongs to the runtime that uses it: each core has its own connections. It must never send a request
//! twice unless no byte of it was sent, never follow a redirect, and never let a request to a registry pass without
//! a `Permit`.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub mod client;
pub mod connector;
pub mod h1;
pub mod origins;
pub mod registry;

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
    /// `limits.buffer_bytes`: what is read of an answer's body at a time, and written of a request's.
    pub buffer: usize,
    /// How long an unused connection is kept.
    pub keep_alive: Duration,
}

/// An answer whose length is told twice, or by a coding that is not read here. What one reader takes for the whole is a
/// part of it to another (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer's length can be read in more than one way")]
pub struct TwoLengths;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens, the name does not resolve, or TLS failed: nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection in time: nothing was sent.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The connection broke, or what came was not HTTP.
    #[error("the connection broke: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer's length can be read in more than one way.
    #[error(transparent)]
    TwoLengths(#[from] TwoLengths),
    /// The roots or the client certificate cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
    /// The system has no root certificates.
    #[error("no root certificates on this system; set `ca`")]
    NoRoots,
    /// Every origin is down.
    #[error("there is no origin to send to")]
    NoOrigin,
}

impl From<h1::Fault> for Error {
    fn from(fault: h1::Fault) -> Self {
        match fault {
            h1::Fault::TwoLengths(lengths) => Self::TwoLengths(lengths),
            fault => Self::Broken(fault.into()),
        }
    }
}

impl Error {
    /// Whether a byte of the request may have been sent; only then it must not be sent again.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::TwoLengths(_))
    }

    /// The error and what caused it, for the log: the causes name the address, the refusal, the TLS alert.
    #[must_use]
    pub fn causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            // Some name their cause in their own words already.
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        text
    }
}
