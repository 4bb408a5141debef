//! HTTP/2 connections, by hyper.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::bulk::{PIECE, ZEROS, origin_form};
use super::{Client, every};
use crate::origin::digest;
use crate::tokens::REPOSITORY;

/// The largest window there is (RFC 9113 §6.9.1): what a client lets come is never what holds a transfer up.
const WINDOW: u32 = i32::MAX.cast_unsigned();

/// One connection and the token it shows.
pub(crate) struct Connection {
    sender: SendRequest<Zeros>,
    token: String,
}

impl Connection {
    async fn open(client: &Client, address: SocketAddr, token: &str) -> Result<Self> {
        let stream = TokioIo::new(client.h2(address).await?);
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .handshake(stream)
            .await?;
        tokio::task::spawn_local(async move {
            // What it meant for a request is told there.
            let _ended = connection.await;
        });
        Ok(Self { sender, token: token.to_owned() })
    }
}

/// The body of a request: so many bytes, in pieces.
struct Zeros(u64);

impl Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let here = usize::try_from(self.0).unwrap_or(PIECE).min(PIECE);
        if here == 0 {
            return Poll::Ready(None);
        }
        self.0 -= here as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(ZEROS.get(..here).unwrap_or(&ZEROS))))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

async fn send(
    mut sender: SendRequest<Zeros>,
    token: &str,
    method: &str,
    target: &str,
    bytes: u64,
) -> Result<Response<Incoming>> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("https://registry.example.com{target}"))
        .version(Version::HTTP_2)
        .header("user-agent", "docker/27.5.1 go/go1.22.11")
        .header("accept", "application/vnd.oci.image.manifest.v1+json")
        .header("authorization", format!("Bearer {token}"));
    if bytes > 0 {
        request = request.header("content-type", "application/octet-stream");
    }
    sender.ready().await?;
    Ok(sender.send_request(request.body(Zeros(bytes))?).await?)
}

async fn request(sender: SendRequest<Zeros>, token: String) -> Result<()> {
    let response = send(sender, &token, "GET", &format!("/v2/{REPOSITORY}/manifests/latest"), 0).await?;
    let status = response.status();
    let length = response.into_body().collect().await?.to_bytes().len();
    ensure!(status == 200 && length == 512, "a small request: {status}, {length} bytes");
    Ok(())
}

/// So many connections, each with one of the tokens, each after one small request.
pub(crate) async fn open(
    client: &Client,
    address: SocketAddr,
    count: usize,
    tokens: &[String],
) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for token in tokens.iter().cycle().take(count) {
        let connection = Connection::open(client, address, token).await?;
        request(connection.sender.clone(), connection.token.clone()).await?;
        connections.push(connection);
    }
    Ok(connections)
}

/// Sends small requests on every connection, `streams` at a time, `each` on every stream.
pub(crate) async fn small(connections: &[Connection], streams: usize, each: usize) -> Result<()> {
    let streams = connections
        .iter()
        .flat_map(|connection| std::iter::repeat_n((connection.sender.clone(), connection.token.clone()), streams));
    every(streams.collect(), async move |(sender, token)| {
        for _ in 0..each {
            request(sender.clone(), token.clone()).await?;
        }
        Ok(())
    })
    .await?;
    Ok(())
}

/// Pulls a blob of so many bytes on every connection, all at a time.
pub(crate) async fn pull_all(connections: Vec<Connection>, bytes: u64) -> Result<()> {
    every(connections, async move |connection| pull(connection, bytes).await).await?;
    Ok(())
}

/// Begins an upload on every connection.
pub(crate) async fn begin_all(connections: Vec<Connection>) -> Result<Vec<(Connection, String)>> {
    let mut uploads = Vec::new();
    for connection in connections {
        let location = begin(&connection).await?;
        uploads.push((connection, location));
    }
    Ok(uploads)
}

/// Sends the body of every upload, all at a time.
pub(crate) async fn push_all(uploads: Vec<(Connection, String)>, bytes: u64) -> Result<()> {
    every(uploads, async move |(connection, location)| push(connection, location, bytes).await).await?;
    Ok(())
}

/// Pulls a blob of so many bytes.
pub(crate) async fn pull(connection: &Connection, bytes: u64) -> Result<()> {
    let target = format!("/v2/{REPOSITORY}/blobs/{}", digest(bytes));
    let response = send(connection.sender.clone(), &connection.token, "GET", &target, 0).await?;
    let status = response.status();
    let (mut body, mut length) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    ensure!(status == 200 && length == bytes, "a pull: {status}, {length} bytes");
    Ok(())
}

/// Begins an upload and says where its body goes.
pub(crate) async fn begin(connection: &Connection) -> Result<String> {
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let response = send(connection.sender.clone(), &connection.token, "POST", &target, 0).await?;
    ensure!(response.status() == 202, "POST: {}", response.status());
    let location = response.headers().get("location").context("no Location")?.to_str()?;
    Ok(origin_form(location).to_owned())
}

/// Sends the body of an upload.
pub(crate) async fn push(connection: &Connection, location: &str, bytes: u64) -> Result<()> {
    let response = send(connection.sender.clone(), &connection.token, "PATCH", location, bytes).await?;
    ensure!(response.status() == 202, "PATCH: {}", response.status());
    Ok(())
}
