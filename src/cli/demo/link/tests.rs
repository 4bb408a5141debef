use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::Link;
use crate::base::units::ByteSize;
use crate::cli::demo::serving::Ear;

const SOON: Duration = Duration::from_secs(10);

async fn far_side() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn link(target: SocketAddr, rate: u64, spools: &Path) -> Link {
    Link::lead(Ear::open().await.unwrap(), target, ByteSize(rate), spools)
}

/// All that comes until `end` stands in it.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&all).contains(end) {
        assert!(timeout(SOON, stream.read(&mut byte)).await.unwrap().unwrap() > 0, "ended early");
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_request_goes_on_only_after_its_last_byte_and_in_one_piece() {
    let spools = tempfile::tempdir().unwrap();
    let (far, address) = far_side().await;
    let link = link(address, 1 << 30, spools.path()).await;
    let mut near = TcpStream::connect(link.address).await.unwrap();
    near.write_all(
        b"PATCH /v2/a/blobs/uploads/1?_state=x HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    .await
    .unwrap();
    near.write_all(b"5\r\nhello\r\n").await.unwrap();
    // Long after a hop that streams would have connected.
    assert!(timeout(Duration::from_millis(200), far.accept()).await.is_err());
    assert!(link.passages.all()[0].arrived.is_none());
    near.write_all(b"6\r\n world\r\n0\r\n\r\n").await.unwrap();

    let (mut stream, _) = timeout(SOON, far.accept()).await.unwrap().unwrap();
    let seen = read_until(&mut stream, "hello world").await;
    assert!(seen.starts_with("PATCH /v2/a/blobs/uploads/1?_state=x HTTP/1.1\r\n"), "{seen}");
    let seen = seen.to_ascii_lowercase();
    assert!(seen.contains("host: here\r\n") && seen.contains("content-length: 11\r\n"), "{seen}");
    assert!(!seen.contains("transfer-encoding"), "{seen}");
    stream.write_all(b"HTTP/1.1 202 Accepted\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let answer = read_until(&mut near, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 202") && answer.contains("/next"), "{answer}");
    let passage = link.passages.all().remove(0);
    assert_eq!(
        (passage.bytes, passage.status.unwrap().as_u16(), passage.path.as_str()),
        (11, 202, "/v2/a/blobs/uploads/1")
    );
}

#[tokio::test]
async fn the_refusal_of_a_registry_that_hangs_up_on_the_body_is_heard() {
    let spools = tempfile::tempdir().unwrap();
    let (far, address) = far_side().await;
    let link = link(address, 1 << 30, spools.path()).await;
    let mut near = TcpStream::connect(link.address).await.unwrap();
    let body = vec![7; 4 << 20];
    near.write_all(format!("PATCH /v2/a HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
        .await
        .unwrap();
    near.write_all(&body).await.unwrap();
    let (mut stream, _) = timeout(SOON, far.accept()).await.unwrap().unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    stream
        .write_all(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nWww-Authenticate: Bearer\r\nContent-Length: 56\r\n\r\n{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"not now\"}]}")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_until(&mut near, "]}").await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("Bearer"), "{answer}");
    assert_eq!(link.passages.all()[0].refusal.as_deref(), Some("unauthorized: not now"));
}

#[tokio::test]
async fn the_rate_is_kept_by_all_connections_together() {
    let spools = tempfile::tempdir().unwrap();
    let (far, address) = far_side().await;
    let link = link(address, 256 << 10, spools.path()).await;
    let started = Instant::now();
    let mut both = Vec::new();
    for _ in 0..2 {
        let mut near = TcpStream::connect(link.address).await.unwrap();
        near.write_all(b"PUT / HTTP/1.1\r\nHost: here\r\nContent-Length: 65536\r\n\r\n").await.unwrap();
        near.write_all(&vec![7; 65536]).await.unwrap();
        both.push(near);
    }
    for _ in 0..2 {
        timeout(SOON, far.accept()).await.unwrap().unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(240), "{:?}", started.elapsed());
}
