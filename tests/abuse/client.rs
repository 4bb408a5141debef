//! A client of the rude kind: TLS it can do, and after that it writes bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than any limit of a run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// ALPN's names (RFC 7301 §6).
pub(crate) const H1: &[u8] = b"http/1.1";
pub(crate) const H2: &[u8] = b"h2";

/// A TLS connection that speaks `alpn`.
pub(crate) async fn connect(address: SocketAddr, alpn: &[u8]) -> Result<TlsStream<TcpStream>> {
    connect_to("localhost", address, alpn).await
}

/// The same to the site of this name.
pub(crate) async fn connect_to(name: &'static str, address: SocketAddr, alpn: &[u8]) -> Result<TlsStream<TcpStream>> {
    connect_by(connector(alpn)?, name, address).await
}

/// The same with a connector that is there already: thousands of connections need one.
pub(crate) async fn connect_by(
    connector: TlsConnector,
    name: &'static str,
    address: SocketAddr,
) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let connecting = connector.connect(ServerName::try_from(name)?, stream);
    timeout(PATIENCE, connecting).await.context("the handshake hangs")?.context("handshake")
}

/// What makes TLS connections that speak `alpn`, each with a whole handshake.
pub(crate) fn connector(alpn: &[u8]) -> Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Reads to the end, whatever kind of end it is; gives the first bytes of it all.
pub(crate) async fn until_the_end<I: AsyncRead + Unpin>(mut io: I) -> Result<Vec<u8>> {
    let reading = async {
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = io.read(&mut piece).await {
            if all.len() < 64 * 1024 {
                all.extend(piece.iter().take(read));
            }
        }
        all
    };
    timeout(PATIENCE, reading).await.context("nobody ended it")
}

/// The certificate is made for the run, and who checks it is not what is tested here.
#[derive(Debug)]
struct Unchecked(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
