//! The server on real sockets: port 0, real clients, real time.

mod early;
mod leaving;
mod limits;
mod panics;
mod protocols;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::drain::Drain;
use super::listener::{Server, Serving};
use super::*;
use crate::base::body::{Body, BodyError};
use crate::base::tls::testing::certified;
use crate::telemetry::metrics::Metrics;

/// The name of the test certificate.
const NAME: &str = "registry.example.com";
/// Longer than anything here takes, shorter than a person waits.
const SOON: Duration = Duration::from_secs(20);

/// Settings no test hits by accident, on a port of the system's choice.
pub(super) fn settings() -> Settings {
    Settings {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        proxy_protocol: Vec::new(),
        connections: 1000,
        connections_per_address: 0,
        header_bytes: 64 * 1024,
        buffer_bytes: 128 * 1024,
        headers: 100,
        h2_streams: 100,
        handshake: Duration::from_secs(10),
        request_head: Duration::from_secs(10),
        idle: Duration::from_secs(10),
        keep_alive: Duration::from_secs(10),
        min_rate: 0,
        refused_body: (64 << 20, Duration::from_secs(10)),
        drain_timeout: Duration::from_secs(10),
        drain_delay: Duration::ZERO,
    }
}

fn over_tls() -> Settings {
    Settings { tls: Some(vec![certified(&["localhost", NAME])]), ..settings() }
}

/// A server that runs.
struct Running {
    address: SocketAddr,
    drain: Drain,
    metrics: Arc<Metrics>,
    serving: Serving,
}

/// Serves with `answer`, which is called for every request.
fn start<F, R>(settings: Settings, answer: F) -> Running
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let metrics = Arc::new(Metrics::new());
    let drain = Drain::new(settings.drain_delay, settings.drain_timeout);
    let server = Server::bind(settings, Arc::clone(&metrics)).unwrap().with_workers(2);
    let address = server.local_addr().unwrap();
    let factory = move |_worker| {
        let answer = answer.clone();
        tower::service_fn(move |request| {
            let answer = answer(request);
            async move { Ok(answer.await) }
        })
    };
    let serving = server.serve(factory, &drain).unwrap();
    Running { address, drain, metrics, serving }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A TLS connection that offers `alpn`, to a server whose certificate nobody checks here.
    async fn connect_tls(&self, alpn: &[&[u8]]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(NAME).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await.unwrap()
    }

    /// Waits until the metrics say `line`.
    async fn says(&self, line: &str) {
        let waiting = async {
            while !self.metrics.encode().contains(line) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let told = tokio::time::timeout(SOON, waiting).await.is_ok();
        assert!(told, "{line} was never said in:\n{}", self.metrics.encode());
    }
}

/// Writes `bytes` and reads to the connection's end.
async fn exchange<I: AsyncRead + AsyncWrite + Unpin>(mut io: I, bytes: &[u8]) -> String {
    io.write_all(bytes).await.unwrap();
    read_to_end(io).await
}

async fn read_to_end<I: AsyncRead + Unpin>(mut io: I) -> String {
    let mut all = Vec::new();
    // A reset after the answer is a way to end as well.
    let _ = tokio::time::timeout(SOON, io.read_to_end(&mut all)).await.expect("the connection stayed open");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one answer with a Content-Length.
async fn read_answer<I: AsyncRead + Unpin>(io: &mut I) -> String {
    let reading = async {
        let mut all = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&all).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    return String::from_utf8_lossy(&all).into_owned();
                }
            }
            assert!(io.read_buf(&mut all).await.unwrap() > 0, "cut short: {text}");
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("no answer came")
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

/// Reads the whole request and says how long it was.
async fn measure(request: Request<Body>) -> Response<Body> {
    match request.into_body().collect().await {
        Ok(body) => Response::new(Body::full(format!("{} bytes", body.to_bytes().len()))),
        Err(_) => status(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Runs curl; gives its exit code and what it wrote.
async fn curl(arguments: &[&str]) -> (i32, String) {
    let mut command = tokio::process::Command::new("curl");
    let output = command.args(["-sk", "--max-time", "60"]).args(arguments).output().await.expect("curl is needed");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A body whose other end is a test's: one chunk waits, the next waits for a reader.
pub(super) fn channel() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::wrap(Piped(receiver)))
}

struct Piped(mpsc::Receiver<Bytes>);

impl http_body::Body for Piped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[derive(Debug)]
struct Unchecked(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(super) type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
