//! HTTP/2 connections, by hyper.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use super::Client;
use crate::tokens::REPOSITORY;

/// One connection and the token it shows.
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    token: String,
}

impl Connection {
    async fn open(client: &Client, address: SocketAddr, token: &str) -> Result<Self> {
        let stream = TokioIo::new(client.h2(address).await?);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::task::spawn_local(async move {
            // What it meant for a request is told there.
            let _ended = connection.await;
        });
        Ok(Self { sender, token: token.to_owned() })
    }
}

async fn request(mut sender: SendRequest<Empty<Bytes>>, token: String) -> Result<()> {
    let request = Request::get(format!("https://registry.example.com/v2/{REPOSITORY}/manifests/latest"))
        .version(Version::HTTP_2)
        .header("user-agent", "docker/27.5.1 go/go1.22.11")
        .header("accept", "application/vnd.oci.image.manifest.v1+json")
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::new())?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
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
    let mut running = JoinSet::new();
    for connection in connections {
        for _ in 0..streams {
            let (sender, token) = (connection.sender.clone(), connection.token.clone());
            running.spawn_local(async move {
                for _ in 0..each {
                    request(sender.clone(), token.clone()).await?;
                }
                anyhow::Ok(())
            });
        }
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
