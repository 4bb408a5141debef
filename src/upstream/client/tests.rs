//! Against an origin that answers as long as it is asked.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers so many requests on each connection, closes it, and counts connections.
async fn origin(requests: usize) -> (Uri, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                for _ in 0..requests {
                    if stream.read(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nblob").await.unwrap();
                }
            });
        }
    });
    (uri, accepted)
}

fn client(origin: &Uri) -> Client {
    let settings = Settings {
        origins: vec![origin.clone()],
        roots: Some(Vec::new()),
        client: None,
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        response: Duration::from_secs(5),
        buffer: 128 * 1024,
        keep_alive: Duration::from_secs(60),
    };
    Client::new(&settings).unwrap()
}

async fn blob(client: &Client, origin: &Uri) -> Bytes {
    let answer = client.send(origin, Request::new(Body::empty())).await.unwrap().into_response();
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection_and_one_task_looks_after_it() {
    let (origin, accepted) = origin(usize::MAX).await;
    let client = client(&origin);
    assert_eq!(blob(&client, &origin).await, "blob");
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..20 {
        assert_eq!(blob(&client, &origin).await, "blob");
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), tasks);
}

#[tokio::test]
async fn a_connection_that_the_origin_closed_is_dropped_and_another_one_made() {
    let (origin, accepted) = origin(1).await;
    let client = client(&origin);
    for connections in 1..4 {
        assert_eq!(blob(&client, &origin).await, "blob");
        assert_eq!(accepted.load(Ordering::Relaxed), connections);
        // The origin's end has to be seen first, by the sweep or the next request.
        tokio::time::timeout(Duration::from_secs(5), poll_fn(|cx| closed(&client, cx))).await.unwrap();
    }
}

/// Whether nothing fit is left in the pool; looked at anew in each turn.
fn closed(client: &Client, cx: &mut Context<'_>) -> Poll<()> {
    let quiet = client.0.lock().idle.iter_mut().any(|idle| idle.is_fit(Duration::from_secs(60)));
    if quiet {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// A client's port that is in TIME_WAIT cannot be used for a minute, and who makes us leave one after the other leaves us none.
#[tokio::test]
async fn what_is_given_up_is_reset_and_keeps_no_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asking = tokio::spawn({
        let client = client(&uri);
        async move { client.send(&uri, Request::new(Body::empty())).await }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    asking.abort();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 4096])).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn no_credential_is_to_be_seen_of_a_connection() {
    let mut request = Request::new(Body::full("layer"));
    request.headers_mut().insert("authorization", "Bearer c4n4ry".parse().unwrap());
    let mut busy = h1::Connection::new(tokio::io::empty(), 0);
    busy.start(Outgoing::new("registry", request));
    assert!(!format!("{busy:?}").contains("c4n4ry"), "{busy:?}");
}
