//! TLS 1.2 and 1.3, and which HTTP is spoken in it (RFC 7301).
//!
//! ```text
//! accept: a handshake ─▶ stream: bytes in clear ─┬─ records: TLS 1.3, opened in the reader's buffer
//!                └────── session: rustls ────────┴─ session: TLS 1.2
//! ```
//!
//! rustls leads every handshake and makes every key; its ciphers, and nothing of ours, turn records into bytes and back.
//! It must never hand on a byte of a record that was not authenticated.

pub mod accept;
mod output;
pub(super) mod records;
mod session;
pub mod stream;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};

use super::Error;
use super::certificates::Certificates;
use crate::base::tls::provider;

/// ALPN's name for HTTP/2 over TLS (RFC 9113 §3.1).
const H2: &[u8] = b"h2";
/// ALPN's name for HTTP/1.1 (RFC 7301 §6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// What every handshake of a listener shares. Sessions resume by ticket, so that nothing is kept for them here; early
/// data is not taken, since it can be replayed.
///
/// # Errors
/// [`Error::Tls`]
pub(super) fn config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(Error::Tls)?;
    // What `records` goes on with; they never leave the process.
    config.enable_secret_extraction = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
