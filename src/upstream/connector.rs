//! One connection: TCP and TLS under one deadline, and an end to writing into a peer that reads nothing.

use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use tokio::net::TcpStream;
use tower::Service;
use tower::util::MapResponse;

use super::{Error, Settings};
use crate::base::io::{UNSENT, WriteIdle, spare_pacing};

/// Connects to `http://` and `https://` origins.
#[derive(Clone, Debug)]
pub struct Connector {
    inner: HttpsConnector<Tcp>,
    deadline: Duration,
    idle: Duration,
}

/// Connects, and makes of a socket what it is to be, before a byte of TLS is spoken on it.
type Tcp = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<TcpStream>>;

/// A connection to an origin.
pub type Stream = WriteIdle<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>;

impl Connector {
    /// A connector with these roots, this client certificate and these deadlines.
    ///
    /// # Errors
    /// [`Error::Tls`] for a certificate or key that cannot be used, [`Error::NoRoots`] without any root.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        // A peer that went without a word acknowledges nothing: without this bound, a request on a connection from the
        // pool would wait for `timeouts.response`, and the kernel keep what it has of a connection closed meanwhile.
        tcp.set_tcp_user_timeout(Some(settings.idle.max(Duration::from_secs(1))));
        // Shared out among the addresses of a name, so that a dead one in front leaves time for the others.
        tcp.set_connect_timeout(Some(settings.connect));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(MapResponse::new(tcp, prepared as _));
        Ok(Self { inner, deadline: settings.connect, idle: settings.idle })
    }

    /// Connects to the origin that `uri` names.
    ///
    /// # Errors
    /// [`Error::Connect`] or [`Error::ConnectTimeout`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the connection up.
    pub async fn connect(&self, uri: Uri) -> Result<Stream, Error> {
        // It is always ready.
        let connecting = self.inner.clone().call(uri);
        match tokio::time::timeout(self.deadline, connecting).await {
            Ok(Ok(stream)) => Ok(WriteIdle::new(TokioIo::new(stream), self.idle)),
            Ok(Err(error)) => Err(Error::Connect(error)),
            Err(_) => Err(Error::ConnectTimeout(self.deadline)),
        }
    }
}

fn prepared(stream: TokioIo<TcpStream>) -> TokioIo<TcpStream> {
    let socket = SockRef::from(stream.inner());
    // Where it cannot be set, the kernel only holds more.
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    // It ends by a reset, which leaves no TIME_WAIT (RFC 9293 §3.6.1): there are 28,000 ports to come from, and whoever
    // begins requests and takes them back could keep each of them for a minute.
    let _ = socket.set_linger(Some(Duration::ZERO));
    if let Ok(peer) = stream.inner().peer_addr() {
        spare_pacing(&socket, peer.ip());
    }
    stream
}

/// Has a connection that does not end with an answer send what was written to it before it ends.
pub fn end_well(stream: &Stream) {
    let socket = match stream.get_ref().inner() {
        MaybeHttpsStream::Http(tcp) => tcp.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    };
    let _ = SockRef::from(socket).set_linger(None);
}

fn tls(settings: &Settings) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match &settings.roots {
        Some(certificates) => {
            for certificate in certificates {
                roots.add(certificate.clone()).map_err(Error::Tls)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() && settings.origins.iter().any(|origin| origin.scheme_str() == Some("https")) {
                return Err(Error::NoRoots);
            }
        }
    }
    let config = ClientConfig::builder_with_provider(crate::base::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots);
    match &settings.client {
        Some((chain, key)) => config.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(Error::Tls),
        None => Ok(config.with_no_client_auth()),
    }
}
