//! An answer given before the request's body ended is heard.

use std::io::{Read, Write};

use super::*;

const LAYER: usize = 20 << 20;
const TRIES: usize = 12;

/// Refuses at once, reading nothing.
async fn refuse(_request: Request<Body>) -> Response<Body> {
    let mut response = Response::new(Body::full("{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}\n"));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

/// As Python's `http.client` does it: the whole body is written before the first byte is read.
fn write_then_read(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "PATCH /v2/a/blobs/uploads/u HTTP/1.1\r\nHost: a\r\nContent-Length: {LAYER}\r\n\r\n")?;
    stream.write_all(&vec![7; LAYER])?;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer)?;
    answer.truncate(read);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn heard_by_writers(settings: Settings) -> usize {
    let running = start(settings, refuse);
    let mut heard = 0;
    for _ in 0..TRIES {
        let address = running.address;
        let answer = tokio::task::spawn_blocking(move || write_then_read(address)).await.unwrap();
        heard += usize::from(answer.is_ok_and(|text| text.starts_with("HTTP/1.1 401 ")));
    }
    heard
}

async fn heard_by_curl(settings: Settings, arguments: &[&str]) -> usize {
    let running = start(settings, refuse);
    let layer = tempfile::NamedTempFile::new().unwrap();
    layer.as_file().set_len(LAYER as u64).unwrap();
    let (url, data) = (format!("https://{}/", running.address), format!("@{}", layer.path().display()));
    let mut heard = 0;
    for _ in 0..TRIES {
        let fixed = ["-X", "PATCH", "--data-binary", &data, "-o", "/dev/null", "-w", "%{http_code}", &url];
        let (code, status) = curl(&[&fixed[..], arguments].concat()).await;
        heard += usize::from(code == 0 && status == "401");
    }
    heard
}

fn no_drain(settings: Settings) -> Settings {
    Settings { refused_body: (0, Duration::ZERO), ..settings }
}

#[tokio::test]
async fn a_client_that_writes_everything_first_hears_the_refusal() {
    assert_eq!(heard_by_writers(settings()).await, TRIES);
}

#[tokio::test]
async fn without_the_drain_such_a_client_does_not_hear_it() {
    assert!(heard_by_writers(no_drain(settings())).await < TRIES);
}

#[tokio::test]
async fn curl_hears_the_refusal_over_http_1() {
    assert_eq!(heard_by_curl(over_tls(), &["--http1.1", "-H", "Expect:"]).await, TRIES);
}

#[tokio::test]
async fn curl_hears_the_refusal_when_it_asks_before_it_sends() {
    assert_eq!(heard_by_curl(over_tls(), &["--http1.1", "-H", "Expect: 100-continue"]).await, TRIES);
}

#[tokio::test]
async fn curl_hears_the_refusal_over_http_2() {
    assert_eq!(heard_by_curl(over_tls(), &["--http2"]).await, TRIES);
}

/// Whether an HTTP/2 client may go on sending after it was refused: a stream that is reset instead is what makes
/// clients forget the answer, which of them and how often being a matter of their timing.
async fn may_go_on_over_http_2(settings: Settings) -> bool {
    let running = start(settings, refuse);
    let io = hyper_util::rt::TokioIo::new(running.connect_tls(&[b"h2"]).await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let (chunks, body) = channel();
    let answer = sender.send_request(Request::patch("https://a/").body(body).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let sending = async {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if chunks.send(Bytes::from_static(&[7; 50_000])).await.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(SOON, sending).await.unwrap()
}

#[tokio::test]
async fn a_refused_http_2_client_is_read_on_and_would_be_reset_without_the_drain() {
    assert!(may_go_on_over_http_2(over_tls()).await);
    assert!(!may_go_on_over_http_2(no_drain(over_tls())).await);
}

#[tokio::test]
async fn a_refusal_is_heard_when_the_body_was_given_up_after_a_part_of_it() {
    let running = start(settings(), |request: Request<Body>| async move {
        let mut body = request.into_body();
        let _ = body.frame().await;
        drop(body);
        // What was given up waits for this answer; nothing of it is read before.
        tokio::time::sleep(Duration::from_millis(200)).await;
        status(StatusCode::UNAUTHORIZED)
    });
    let address = running.address;
    let answer = tokio::task::spawn_blocking(move || write_then_read(address)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_not_asked_for_a_body_nobody_reads() {
    let running = start(settings(), |request: Request<Body>| async move {
        drop(request);
        tokio::time::sleep(Duration::from_millis(100)).await;
        status(StatusCode::UNAUTHORIZED)
    });
    let mut stream = running.connect().await;
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn a_connection_whose_refused_body_was_read_serves_the_next_request() {
    let running = start(settings(), |request: Request<Body>| async move {
        if request.method() == "PUT" { status(StatusCode::UNAUTHORIZED) } else { Response::new(Body::full("next")) }
    });
    let mut stream = running.connect().await;
    let body = "x".repeat(100_000);
    let request = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 401 "));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("next"));
}
