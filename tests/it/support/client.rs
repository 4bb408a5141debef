//! A client of the gateway: HTTP/1.1 or HTTP/2, with or without TLS, one connection for each request.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tidegate::base::body::{Body, BodyError};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tokens::Server;
use super::{PASSWORD, soon};

/// The name clients ask for.
pub(crate) const HOST: &str = "registry.test";

/// How a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// HTTP/1.1 without TLS.
    Plain,
    /// HTTP/1.1 over TLS.
    Tls1,
    /// HTTP/2 over TLS.
    Tls2,
}

impl Door {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Tls1, Self::Tls2];
}

/// A request to be.
#[derive(Debug)]
pub(crate) struct Ask {
    method: Method,
    target: String,
    host: String,
    headers: HeaderMap,
    body: Body,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
    /// The body ended before its end.
    pub(crate) broken: bool,
}

impl Ask {
    /// `method` of a path and query, which go out as they stand here.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (target, host) = (target.to_owned(), HOST.to_owned());
        Self { method: method.parse().unwrap(), target, host, headers: HeaderMap::new(), body: Body::empty() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (name, value): (HeaderName, _) = (name.parse().unwrap(), HeaderValue::from_bytes(value.as_ref()).unwrap());
        self.headers.append(name, value);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// A body of known length.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::full(body);
        self
    }

    /// A body that is given part by part, chunked over HTTP/1.1.
    pub(crate) fn streamed(mut self) -> (Self, Sender<Bytes, BodyError>) {
        let (sender, body) = Channel::new(4);
        self.body = Body::wrap(body);
        (self, sender)
    }

    fn request(self, version: Version) -> Request<Body> {
        let target = match version {
            Version::HTTP_2 => format!("https://{}{}", self.host, self.target),
            _ => self.target,
        };
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = target.parse().unwrap();
        *request.version_mut() = version;
        *request.headers_mut() = self.headers;
        if version != Version::HTTP_2 && !request.headers().contains_key("host") {
            request.headers_mut().insert("host", self.host.parse().unwrap());
        }
        request
    }
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Self {
        let (head, mut body) = response.into_parts();
        let mut answer = Self {
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
            trailers: HeaderMap::new(),
            broken: false,
        };
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => bytes.extend_from_slice(&data),
                Ok(Err(frame)) => answer.trailers = frame.into_trailers().unwrap_or_default(),
                Err(_) => {
                    answer.broken = true;
                    break;
                }
            }
        }
        answer.body = bytes.into();
        let said = format!("{:?}{}", answer.headers, String::from_utf8_lossy(&answer.body));
        assert!(!said.contains(PASSWORD), "a password came back: {said}");
        answer
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name} of {self:?}");
        values[0].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A connection that takes one request after another.
pub(crate) struct Connection {
    sender: Requests,
    /// Ends the connection when dropped.
    driving: JoinHandle<()>,
}

enum Requests {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, door: Door) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        match door {
            Door::Plain => Self::h1(TokioIo::new(stream)).await,
            Door::Tls1 => Self::h1(TokioIo::new(encrypted(stream, b"http/1.1").await)).await,
            Door::Tls2 => {
                let io = TokioIo::new(encrypted(stream, b"h2").await);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                // How the connection ends is seen by its requests.
                let driving = tokio::spawn(async move { drop(connection.await) });
                Self { sender: Requests::H2(sender), driving }
            }
        }
    }

    async fn h1(io: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static) -> Self {
        let (sender, connection) = http1::handshake(io).await.unwrap();
        let driving = tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Self { sender: Requests::H1(sender), driving }
    }

    /// The answer as soon as its head is there.
    pub(crate) async fn begin(&mut self, ask: Ask) -> hyper::Result<Response<Incoming>> {
        soon(async {
            match &mut self.sender {
                Requests::H1(sender) => {
                    sender.ready().await?;
                    sender.send_request(ask.request(Version::HTTP_11)).await
                }
                Requests::H2(sender) => {
                    sender.ready().await?;
                    sender.send_request(ask.request(Version::HTTP_2)).await
                }
            }
        })
        .await
    }

    /// The whole answer.
    pub(crate) async fn send(&mut self, ask: Ask) -> Answer {
        let response = self.begin(ask).await.unwrap();
        soon(Answer::read(response)).await
    }
}

/// TLS to the gateway, offering one protocol.
pub(crate) async fn encrypted(stream: TcpStream, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(Server::shared().root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(HOST).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    stream
}
