//! A token server for tests: a real one on a port of its own, that says what it is told to and records what it heard.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::gitlab::Settings;
use crate::base::body::Body;
use crate::token::testing::{NOW, TestKey, claims, verifier};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    /// The raw request target.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A few header fields, written down in a table.
pub(crate) type Fields = &'static [(&'static str, &'static str)];

type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The server; it ends with this value.
pub(crate) struct TokenServer {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    accepting: JoinHandle<()>,
}

impl TokenServer {
    /// A server that answers with what `script` makes of a request.
    pub(crate) async fn start<F>(script: impl Fn(Received) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let script: Arc<dyn Fn(Received) -> Answering + Send + Sync> =
            Arc::new(move |request| Box::pin(script(request)) as Answering);
        let log = Arc::clone(&received);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (head, _) = request.into_parts();
                    let request = Received { method: head.method, target: head.uri.to_string(), headers: head.headers };
                    log.lock().unwrap().push(request.clone());
                    let answering = script(request);
                    async move { Ok::<_, std::convert::Infallible>(answering.await) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(async move {
                    let _ = connection.await;
                });
            }
        });
        Self { address, received, accepting }
    }

    /// A server that always says the same.
    pub(crate) async fn saying(status: u16, headers: Fields, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::start(move |_| {
            let answer = answer(status, headers, body.clone());
            async move { answer }
        })
        .await
    }

    /// A server that grants `claims` to whoever asks.
    pub(crate) async fn granting(claims: Value) -> Self {
        let body = granted(&claims);
        Self::saying(200, &[("content-type", "application/json")], body).await
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(&format!("http://{}/jwt/auth", self.address))
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Settings for an authority at `url` that trusts [`TestKey::trusted`].
pub(crate) fn settings(url: &str) -> Settings {
    Settings {
        name: "gitlab".to_owned(),
        url: url.parse().unwrap(),
        roots: None,
        verifier: verifier(&[&TestKey::trusted().public_pem()]),
        timeout: Duration::from_secs(10),
        connect: Duration::from_secs(5),
    }
}

/// An answer in a few words.
pub(crate) fn answer(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: impl Into<Vec<u8>>,
) -> Response<Body> {
    let mut response = Response::new(Body::full(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

/// A registry-style refusal, as GitLab writes it.
pub(crate) fn refused(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = json!({"errors":[{"code":code,"message":message}],"http_status":status}).to_string();
    answer(status, &[("content-type", "application/json; charset=utf-8")], body)
}

/// GitLab's answer for a token of these claims.
pub(crate) fn granted(claims: &Value) -> String {
    json!({ "token": TestKey::trusted().sign(claims) }).to_string()
}

/// [`granted`] as a response.
pub(crate) fn grant(claims: &Value) -> Response<Body> {
    answer(200, &[("content-type", "application/json")], granted(claims))
}

/// Claims that live for `seconds` from [`NOW`].
pub(crate) fn living(seconds: i64) -> Value {
    let mut claims = claims();
    claims["exp"] = json!(NOW.0 + seconds);
    claims
}
