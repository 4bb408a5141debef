//! The client of a Docker-protocol token server (`kind = "gitlab"`).

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::token::verifier::Verifier;

/// One authority, valid.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in the file; a metric label.
    pub name: String,
    /// The token endpoint, path included.
    pub url: http::Uri,
    /// Private roots; none: the system's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// Who signs its tokens, and what they say.
    pub verifier: Verifier,
    /// `timeouts.authority`: a deadline over the whole exchange.
    pub timeout: Duration,
    /// `timeouts.connect`
    pub connect: Duration,
}
