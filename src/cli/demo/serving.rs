//! Plain HTTP/1.1 on a port of this machine, for the parts that are played in this process.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use http::header::HOST;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::base::body::Body;

/// What is read of a connection at a time: the finer, the smoother the progress.
const BUFFER: usize = 64 * 1024;
/// An answer of the admin listener is not larger.
const LARGEST: usize = 4 << 20;

/// A port that is listened on and not yet served: others can be told of it first.
#[derive(Debug)]
pub(super) struct Ear {
    listener: TcpListener,
    /// Where.
    pub(super) address: SocketAddr,
}

impl Ear {
    pub(super) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port to listen on")?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Answers requests with `answer`, until dropped.
    pub(super) fn serve<A, F>(self, answer: A) -> Serving
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Serving(tokio::spawn(accept(self.listener, answer)))
    }
}

/// A server; it and its connections end when it is dropped.
#[derive(Debug)]
pub(super) struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that is gone before it was accepted is no concern of the others.
                let Ok((stream, _)) = accepted else { continue };
                let answer = answer.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        let answered = answer(request);
                        async { Ok::<_, Infallible>(answered.await) }
                    });
                    let mut http = hyper::server::conn::http1::Builder::new();
                    // An error here is a client that hung up; its own words say why.
                    let _hung_up = http.max_buf_size(BUFFER).serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request over a connection of its own. The answer's body may still be on its way.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub(super) async fn send(to: SocketAddr, request: Request<Body>) -> anyhow::Result<Response<Body>> {
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends by itself with the exchange, or with the runtime.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(|body| Body::wrap(body.map_err(Into::into))))
}

/// `GET`, which has to be answered 200.
///
/// # Cancel safety
/// As [`send`].
pub(super) async fn get(from: SocketAddr, path: &str) -> anyhow::Result<String> {
    let request = Request::get(path).header(HOST, from.to_string()).body(Body::empty())?;
    let response = send(from, request).await?;
    let status = response.status();
    let body = response.into_body().collect_bounded(LARGEST).await?;
    ensure!(status.is_success(), "GET {path}: {status}");
    Ok(String::from_utf8_lossy(&body).into_owned())
}
