//! Every bound of a connection, and that hitting it is seen.

use tokio::time::Instant;

use super::*;
use crate::server::tls::records::sealed_length;

const SHORT: Duration = Duration::from_millis(300);
/// `limits.buffer_bytes` of [`settings`].
const BUFFER: usize = 128 * 1024;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn fine(_request: Request<Body>) -> Response<Body> {
    Response::new(Body::full("fine"))
}

fn hit(limit: &str) -> String {
    format!("tidegate_limit_hits_total{{limit=\"{limit}\"}} 1\n")
}

/// A request whose head is `bytes` long.
fn head_of(bytes: usize) -> String {
    let frame = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: \r\n\r\n".len();
    format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(bytes - frame))
}

#[tokio::test]
async fn a_head_of_64_kib_passes_and_one_byte_more_is_431() {
    let running = start(settings(), fine);
    let answer = exchange(running.connect().await, head_of(64 * 1024).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = exchange(running.connect().await, head_of(64 * 1024 + 1).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    running.says(&hit("header_bytes")).await;
}

#[tokio::test]
async fn too_many_fields_are_431_over_both_http_versions() {
    let running = start(over_tls(), fine);
    let url = format!("https://{}/", running.address);
    let fields: Vec<String> = (0..130).map(|number| format!("X-{number}: 1")).collect();
    for version in ["--http1.1", "--http2"] {
        let mut arguments = vec![version, "-o", "/dev/null", "-w", "%{http_code}", &url];
        for field in fields.iter().take(90) {
            arguments.extend(["-H", field]);
        }
        assert_eq!(curl(&arguments).await.1, "200", "{version}");
        for field in fields.iter().skip(90) {
            arguments.extend(["-H", field]);
        }
        assert_eq!(curl(&arguments).await.1, "431", "{version}");
    }
    running.says("tidegate_limit_hits_total{limit=\"headers\"} 2").await;
}

#[tokio::test]
async fn a_64_kib_field_passes_over_http_2() {
    let running = start(over_tls(), fine);
    let field = format!("X: {}", "x".repeat(60 * 1024));
    let (_, code) =
        curl(&["--http2", "-H", &field, "-w", " %{http_code}", &format!("https://{}/", running.address)]).await;
    assert_eq!(code, "fine 200");
}

#[tokio::test]
async fn a_stalled_handshake_ends() {
    let running = start(Settings { handshake: SHORT, ..over_tls() }, fine);
    let began = Instant::now();
    assert_eq!(exchange(running.connect().await, b"\x16\x03\x01").await, "");
    assert!(began.elapsed() >= SHORT);
    running.says(&hit("handshake")).await;
    running.says("tidegate_connections 0\n").await;
}

#[tokio::test]
async fn a_head_that_trickles_ends() {
    let running = start(Settings { request_head: SHORT, ..settings() }, fine);
    let (reader, mut writer) = running.connect().await.into_split();
    let began = Instant::now();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let answer = read_to_end(reader).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(began.elapsed() < SHORT * 10, "it took {:?}", began.elapsed());
    running.says(&hit("request_head")).await;
    trickle.abort();
}

#[tokio::test]
async fn a_head_that_stops_after_an_answer_is_408_after_it() {
    for settings in [settings(), over_tls()] {
        let running = start(Settings { request_head: SHORT, ..settings }, fine);
        let secure = running.metrics.encode().contains("tls_certificate_not_after_timestamp_seconds{");
        let mut io: Pin<Box<dyn Duplex>> =
            if secure { Box::pin(running.connect_tls(&[]).await) } else { Box::pin(running.connect().await) };
        io.write_all(GET).await.unwrap();
        assert!(read_answer(&mut io).await.ends_with("fine"));
        let answer = exchange(io, b"GET / HTTP/1.1\r\nHo").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        running.says(&hit("request_head")).await;
        running.says("tidegate_connections 0\n").await;
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_told_nothing() {
    for settings in [settings(), over_tls()] {
        let running = start(Settings { request_head: SHORT, ..settings }, fine);
        let secure = running.metrics.encode().contains("tls_certificate_not_after_timestamp_seconds{");
        let io: Pin<Box<dyn Duplex>> =
            if secure { Box::pin(running.connect_tls(&[]).await) } else { Box::pin(running.connect().await) };
        assert_eq!(read_to_end(io).await, "");
        running.says(&hit("request_head")).await;
    }
}

#[tokio::test]
async fn a_408_stands_behind_the_answer_that_nobody_read() {
    let length = 64 << 20;
    let running =
        start(Settings { request_head: SHORT, idle: SOON, ..settings() }, move |_request: Request<Body>| async move {
            Response::new(Body::full(vec![b'x'; length]))
        });
    let mut stream = running.connect().await;
    stream.write_all(GET).await.unwrap();
    // The whole answer is handed over at once, and most of it is still with us when the next head stops.
    stream.readable().await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    assert!(!running.metrics.encode().contains(&hit("request_head")), "its time begins with the end of the answer");
    let answers = read_to_end(stream).await;
    let (first, second) = answers.split_at(answers.find("HTTP/1.1 408 ").expect("it waits for ever"));
    assert!(first.ends_with(&"x".repeat(length)) && second.ends_with("\r\n\r\n"), "{second}");
    running.says(&hit("request_head")).await;
}

#[tokio::test]
async fn what_is_no_http_is_400_and_counted() {
    let running = start(settings(), fine);
    let answer = exchange(running.connect().await, b"nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    running.says("tidegate_malformed_requests_total{fault=\"method\"} 1\n").await;
}

#[tokio::test]
async fn an_http_2_client_that_only_talks_is_told_to_calm_down() {
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let running = start(over_tls(), fine);
    let (mut reader, mut writer) = tokio::io::split(running.connect_tls(&[b"h2"]).await);
    writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let talking = tokio::spawn(async move {
        for _ in 0..20_000 {
            writer.write_all(&PING).await?;
        }
        Ok::<_, std::io::Error>(writer)
    });
    let mut said = Vec::new();
    let _ = tokio::time::timeout(SOON, reader.read_to_end(&mut said)).await.expect("it went on");
    drop(talking);
    running.says(&hit("h2_frames")).await;
    running.says("tidegate_connections 0\n").await;
}

#[tokio::test]
async fn a_used_connection_may_pause_for_keep_alive_and_not_for_longer() {
    for settings in [settings(), over_tls()] {
        let keep_alive = Duration::from_millis(900);
        let running = start(Settings { request_head: SHORT, keep_alive, ..settings }, fine);
        let secure = running.metrics.encode().contains("tls_certificate_not_after_timestamp_seconds{");
        let mut io: Pin<Box<dyn Duplex>> =
            if secure { Box::pin(running.connect_tls(&[]).await) } else { Box::pin(running.connect().await) };
        for _ in 0..2 {
            io.write_all(GET).await.unwrap();
            read_answer(&mut io).await;
            tokio::time::sleep(SHORT * 2).await;
        }
        let began = Instant::now();
        assert_eq!(read_to_end(io).await, "");
        assert!(began.elapsed() < keep_alive * 5);
        running.says(&hit("keep_alive")).await;
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

#[tokio::test]
async fn a_quiet_http_2_connection_ends_with_goaway() {
    let running = start(Settings { keep_alive: SHORT, ..over_tls() }, fine);
    let io = hyper_util::rt::TokioIo::new(running.connect_tls(&[b"h2"]).await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, http_body_util::Empty<bytes::Bytes>>(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://a/").body(http_body_util::Empty::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    assert!(tokio::time::timeout(SOON, connection).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_client_that_stalls_in_its_body_is_given_up() {
    let running = start(Settings { idle: SHORT, ..settings() }, measure);
    let mut stream = running.connect().await;
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").await.unwrap();
    assert!(read_to_end(stream).await.starts_with("HTTP/1.1 408 "));
    running.says(&hit("idle")).await;
}

#[tokio::test]
async fn a_body_that_keeps_coming_has_no_deadline() {
    let running = start(Settings { idle: SHORT, request_head: SHORT, ..settings() }, measure);
    let mut stream = running.connect().await;
    stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 20\r\n\r\n").await.unwrap();
    for _ in 0..20 {
        tokio::time::sleep(SHORT / 3).await;
        stream.write_all(b"x").await.unwrap();
    }
    assert!(read_to_end(stream).await.ends_with("20 bytes"));
}

#[tokio::test]
async fn a_body_slower_than_the_least_rate_is_given_up() {
    let running = start(Settings { idle: SHORT, min_rate: 1000, ..settings() }, measure);
    let (reader, mut writer) = running.connect().await.into_split();
    writer.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(read_to_end(reader).await.starts_with("HTTP/1.1 408 "));
    running.says(&hit("min_rate")).await;
    trickle.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_given_up() {
    let running = start(Settings { idle: SHORT, ..settings() }, |_request: Request<Body>| async {
        Response::new(Body::full(vec![0; 64 << 20]))
    });
    let mut stream = running.connect().await;
    stream.write_all(GET).await.unwrap();
    running.says("tidegate_connections 1\n").await;
    running.says("tidegate_connections 0\n").await;
    drop(stream);
}

#[tokio::test]
async fn one_address_gets_no_more_than_its_share() {
    let running = start(Settings { connections_per_address: 2, ..settings() }, fine);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = running.connect().await;
        stream.write_all(GET).await.unwrap();
        read_answer(&mut stream).await;
        open.push(stream);
    }
    assert_eq!(read_to_end(running.connect().await).await, "");
    running.says(&hit("connections_per_address")).await;
    drop(open);
    running.says("tidegate_connections 0\n").await;
    let mut stream = running.connect().await;
    stream.write_all(GET).await.unwrap();
    read_answer(&mut stream).await;
}

#[tokio::test]
async fn connections_past_the_bound_wait_for_their_turn() {
    let running = start(Settings { connections: 1, ..settings() }, fine);
    let mut first = running.connect().await;
    first.write_all(GET).await.unwrap();
    read_answer(&mut first).await;
    let mut second = running.connect().await;
    second.write_all(GET).await.unwrap();
    assert!(tokio::time::timeout(SHORT, second.readable()).await.is_err(), "it did not wait");
    running.says(&hit("connections")).await;
    drop(first);
    assert!(read_answer(&mut second).await.ends_with("fine"));
}

#[tokio::test]
async fn a_panic_is_one_requests_end_and_not_its_connections() {
    let running = start(over_tls(), |request: Request<Body>| async move {
        assert!(request.uri().path() != "/panic", "as asked");
        Response::new(Body::full("fine"))
    });
    let at = |path| format!("https://{}{path}", running.address);
    let (_, text) = curl(&["--http2", "-w", "%{http_code} ", &at("/panic"), &at("/")]).await;
    assert_eq!(
        text,
        "{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"internal error\",\"detail\":null}]}\n500 fine200 "
    );
    running.says("tidegate_panics_total 1\n").await;
    running.says("method=\"GET\",code=\"500\"} 1\n").await;
}

/// A body that panics behind its first part.
struct Faulty(bool);

impl http_body::Body for Faulty {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        assert!(!std::mem::replace(&mut self.0, true), "as asked");
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"part")))))
    }
}

#[tokio::test]
async fn a_panic_in_an_answer_is_that_answers_end_and_not_its_connections() {
    let running = start(over_tls(), |request: Request<Body>| async move {
        let is_faulty = request.uri().path() == "/panic";
        Response::new(if is_faulty { Body::wrap(Faulty(false)) } else { Body::full("fine") })
    });
    let at = |path| format!("https://{}{path}", running.address);
    let (_, text) = curl(&["--http2", "-w", " %{num_connects} %{errormsg};", &at("/panic"), &at("/")]).await;
    let (faulty, fine) = text.split_once(';').unwrap();
    assert!(faulty.contains("INTERNAL_ERROR") && !faulty.contains("fine"), "{text}");
    assert_eq!(fine, "fine 0 ;", "on the same connection: {text}");
    running.says("tidegate_panics_total 1\n").await;
    let (code, text) = curl(&["--http1.1", &at("/panic")]).await;
    assert_ne!(code, 0, "a part was taken for the whole: {text}");
    running.says("tidegate_panics_total 2\n").await;
}

#[tokio::test]
async fn a_fast_client_does_not_make_the_parts_of_its_body_grow() {
    // Each part pins a read buffer while a slow registry has it.
    for settings in [settings(), over_tls()] {
        let secure = settings.tls.is_some();
        let running = start(settings, |request: Request<Body>| async move {
            let (mut body, mut largest) = (request.into_body(), 0);
            while let Some(Ok(frame)) = body.frame().await {
                largest = largest.max(frame.data_ref().map_or(0, Bytes::len));
                // Bytes pile up in the socket meanwhile.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Response::new(Body::full(format!("{largest}")))
        });
        let mut io: Pin<Box<dyn Duplex>> =
            if secure { Box::pin(running.connect_tls(&[]).await) } else { Box::pin(running.connect().await) };
        let length = 4 << 20;
        let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        io.write_all(head.as_bytes()).await.unwrap();
        io.write_all(&vec![0; length]).await.unwrap();
        io.flush().await.unwrap();
        let answer = read_to_end(io).await;
        let largest: usize = answer.rsplit("\r\n").next().unwrap().parse().unwrap();
        assert!((4096..=sealed_length(BUFFER)).contains(&largest), "secure={secure}: a part of {largest} bytes");
    }
}
