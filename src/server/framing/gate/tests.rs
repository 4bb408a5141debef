use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: r\r\n\r\n";

fn around<T>(inner: T) -> (Gate<T>, Arc<Activity>, Arc<Metrics>) {
    let wait = Duration::from_secs(10);
    let (activity, metrics) = (Activity::new(wait, wait, true), Arc::new(Metrics::new()));
    let client = SocketAddr::from(([127, 0, 0, 1], 1));
    let gate = Gate::new(inner, Arc::clone(&activity), Arc::clone(&metrics), (1024, wait), client);
    (gate, activity, metrics)
}

/// All a client was sent.
async fn heard(mut client: tokio::io::DuplexStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_a_head_is_answered_and_nothing_of_it_passes() {
    let (mut client, server) = tokio::io::duplex(4096);
    let (mut gate, activity, metrics) = around(server);
    client.write_all(&[GET, b"GET / HTTP/1.1\nHost: r\r\n\r\n"].concat()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let read = gate.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..read], [GET, b"GET / HTTP/1.1"].concat());
    drop(activity.begin());
    client.shutdown().await.unwrap();
    let error = gate.read(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let text = heard(client).await;
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n") && text.contains("\r\nconnection: close\r\n"), "{text}");
    assert!(
        text.contains("{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"a line does not end with CR LF\""),
        "{text}"
    );
    assert!(metrics.encode().contains("tidegate_malformed_requests_total{fault=\"line_ending\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn the_answers_to_what_came_before_go_first() {
    let (mut client, server) = tokio::io::duplex(4096);
    let (mut gate, activity, _) = around(server);
    client.write_all(&[GET, b"\0"].concat()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut buffer = vec![0; 4096];
    assert_eq!(gate.read(&mut buffer).await.unwrap(), GET.len());
    // Not even begun, then busy, then not flushed.
    let soon = Duration::from_millis(1);
    assert!(tokio::time::timeout(soon, gate.read(&mut buffer)).await.is_err());
    let busy = activity.begin();
    assert!(tokio::time::timeout(soon, gate.read(&mut buffer)).await.is_err());
    gate.write_all(b"the answer ").await.unwrap();
    drop(busy);
    assert!(tokio::time::timeout(soon, gate.read(&mut buffer)).await.is_err());
    gate.flush().await.unwrap();
    assert!(gate.read(&mut buffer).await.is_err());
    assert!(heard(client).await.starts_with("the answer HTTP/1.1 400"));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_woken_when_the_last_answer_ends() {
    let (mut client, server) = tokio::io::duplex(4096);
    let (mut gate, activity, _) = around(server);
    client.write_all(&[GET, b"\0"].concat()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut buffer = vec![0; 4096];
    gate.read_exact(&mut buffer[..GET.len()]).await.unwrap();
    let busy = activity.begin();
    let waiting = tokio::spawn(async move { gate.read(&mut [0; 16]).await });
    tokio::task::yield_now().await;
    drop(busy);
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_a_body_is_an_error_at_once_and_leaves_the_answer_to_others() {
    let (mut client, server) = tokio::io::duplex(4096);
    let (mut gate, activity, _) = around(server);
    client.write_all(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let _busy = activity.begin();
    let mut buffer = vec![0; 4096];
    let read = gate.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].ends_with(b"3\r\nabc"));
    for _ in 0..2 {
        assert_eq!(gate.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    gate.write_all(b"the answer").await.unwrap();
    gate.shutdown().await.unwrap();
    assert_eq!(heard(client).await, "the answer");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_writing_is_listened_to_within_bounds() {
    for (bytes, limit) in [(16 * 1024, "drain_bytes"), (16, "drain_time")] {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let (mut gate, _, metrics) = around(server);
        client.write_all(b"\0").await.unwrap();
        client.write_all(&vec![b'x'; bytes]).await.unwrap();
        assert!(gate.read(&mut [0; 4096]).await.is_err());
        drop(gate);
        let series = format!("tidegate_limit_hits_total{{limit=\"{limit}\"}} 1");
        assert!(metrics.encode().contains(&series), "{limit}");
        assert!(heard(client).await.starts_with("HTTP/1.1 400"));
    }
}

#[tokio::test(start_paused = true)]
async fn another_protocol_passes_once_it_is_agreed_to_and_is_not_read_before() {
    let (mut client, server) = tokio::io::duplex(4096);
    let (mut gate, activity, _) = around(server);
    let ask = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(ask).await.unwrap();
    let mut buffer = vec![0; 4096];
    assert_eq!(gate.read(&mut buffer).await.unwrap(), ask.len());
    client.write_all(b"\x81\0\n\n").await.unwrap();
    let soon = Duration::from_millis(1);
    assert!(tokio::time::timeout(soon, gate.read(&mut buffer)).await.is_err());
    activity.decided(true);
    let read = gate.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..read], b"\x81\0\n\n");
}
