//! A client at the other end of a pipe, and services that read and answer as a test wants.

mod answers;

use std::future::{Ready, ready};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, channel::Channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::base::body::BodyError;
use crate::server::slots::Slots;

const GET: &str = "GET / HTTP/1.1\r\nHost: r\r\n\r\n";
const LAST: &str = "GET / HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";
const WAIT: Duration = Duration::from_secs(10);
const PIPE: usize = 64 * 1024;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

fn bounds() -> Bounds {
    Bounds { header_bytes: 1024, headers: 20, first: 1024, read: 4096, written: 4096, refused: (1024, WAIT) }
}

struct Served {
    client: DuplexStream,
    metrics: Arc<Metrics>,
    connection: tokio::task::JoinHandle<io::Result<()>>,
}

/// Serves one connection.
async fn serve<S, R>(service: S) -> Served
where
    S: Fn(Request<Body>) -> R + Send + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let (client, server) = duplex(PIPE);
    let metrics = Arc::new(Metrics::new());
    let slots = Slots::new(1, 0, Arc::clone(&metrics));
    let slot = slots.take(slots.room().await.unwrap(), &Arc::new(AtomicUsize::new(0)));
    let service = move |request| -> Answering {
        let answer = service(request);
        Box::pin(async move { Ok(answer.await) })
    };
    let client_address = SocketAddr::from(([127, 0, 0, 1], 1));
    let activity = Activity::new(WAIT, WAIT);
    let connection = Connection::new(server, service, slot, activity, Arc::clone(&metrics), bounds(), client_address);
    Served { client, metrics, connection: tokio::spawn(connection) }
}

impl Served {
    async fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// All that is said until the connection ends, after the client has nothing more to say.
    async fn hear(mut self) -> String {
        self.client.shutdown().await.unwrap();
        let mut said = Vec::new();
        tokio::time::timeout(WAIT, self.client.read_to_end(&mut said)).await.expect("it stays open").unwrap();
        without_dates(&said)
    }

    /// What is said until `end`.
    async fn hear_until(&mut self, end: &str) -> String {
        let mut said = Vec::new();
        while !without_dates(&said).ends_with(end) {
            let read = tokio::time::timeout(WAIT, self.client.read_buf(&mut said)).await;
            assert_ne!(read.expect("nothing comes").unwrap(), 0, "{}", without_dates(&said));
        }
        without_dates(&said)
    }

    fn counted(&self, series: &str) -> bool {
        self.metrics.encode().contains(&format!("tidegate_{series} 1\n"))
    }
}

/// Everything but `date` fields, one of which every answer has.
fn without_dates(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ") || !line.ends_with(" GMT\r\n")).collect()
}

/// Says what the request was.
async fn echo(request: Request<Body>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().to_string());
    match request.into_body().collect().await {
        Ok(body) => Response::new(Body::full(format!("{method} {path} {}", body.to_bytes().len()))),
        Err(error) => {
            let mut response = Response::new(Body::full(error.to_string()));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

fn fine(_request: Request<Body>) -> Ready<Response<Body>> {
    ready(Response::new(Body::full("fine")))
}

/// The same, and nothing after it.
fn last(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_in_their_order_however_they_come() {
    let requests = "PUT /a HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\n\r\nhello\r\n\
                    POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n\
                    GET /c HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answers = [ok("PUT /a 5"), ok("POST /b 5"), last("GET /c 0")].concat();
    for at_once in [1, 7, usize::MAX] {
        let mut served = serve(echo).await;
        for piece in requests.as_bytes().chunks(at_once.min(requests.len())) {
            served.client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(served.hear().await, answers, "{at_once}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_a_head_is_answered_and_nothing_behind_it_is_served() {
    let mut served = serve(fine).await;
    served.say(&format!("{GET}GET / HTTP/1.1\nHost: r\r\n\r\n{GET}")).await;
    let metrics = Arc::clone(&served.metrics);
    let said = served.hear().await;
    let rest = said.strip_prefix(&ok("fine")).unwrap();
    assert!(rest.starts_with("HTTP/1.1 400 Bad Request\r\n") && rest.contains("\r\nconnection: close\r\n"), "{rest}");
    let words = "{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"a line does not end with CR LF\"";
    assert!(rest.contains(words) && rest.matches("HTTP/1.1").count() == 1, "{rest}");
    assert!(metrics.encode().contains("tidegate_malformed_requests_total{fault=\"line_ending\"} 1\n"));
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_a_body_is_its_readers_at_once_and_ends_the_connection_after_the_answer() {
    let mut served = serve(echo).await;
    served.say("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n").await;
    served.say(GET).await;
    let metrics = Arc::clone(&served.metrics);
    let said = served.hear().await;
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n") && said.matches("HTTP/1.1").count() == 1, "{said}");
    assert!(said.ends_with("the request's body is malformed: a chunk is not as long as it says"), "{said}");
    assert!(metrics.encode().contains("tidegate_malformed_requests_total{fault=\"chunk_end\"} 1\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_writing_is_listened_to_within_bounds() {
    for (bytes, limit) in [(16 * 1024, "drain_bytes"), (16, "drain_time")] {
        let mut served = serve(fine).await;
        served.say("\0").await;
        served.say(&"x".repeat(bytes)).await;
        assert!(served.hear_until("}]}\n").await.starts_with("HTTP/1.1 400"));
        (&mut served.connection).await.unwrap().unwrap();
        assert!(served.counted(&format!("limit_hits_total{{limit=\"{limit}\"}}")), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_reads_the_end_of_a_farewell_while_it_may_still_write() {
    let mut served = serve(fine).await;
    served.say("GET / HTTP/1.1\n").await;
    let mut said = String::new();
    served.client.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    served.say("more").await;
    assert!(!served.connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_behind_the_last_request_is_not_cut_off_from_its_answer() {
    for (behind, goes_on) in [("", false), (GET, true)] {
        let mut served = serve(fine).await;
        served.say(&[LAST, behind].concat()).await;
        let mut said = Vec::new();
        tokio::time::timeout(WAIT, served.client.read_to_end(&mut said)).await.expect("it stays open").unwrap();
        assert_eq!(without_dates(&said), last("fine"));
        tokio::task::yield_now().await;
        assert_eq!(served.client.write_all(b"more").await.is_ok(), goes_on, "{behind:?}");
        drop(served.client);
        served.connection.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_431() {
    let of = |bytes: usize| LAST.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(bytes - LAST.len() - 5)));
    for (head, status, limit) in [
        (of(1024), "200 OK", None),
        (of(1025), "431 Request Header Fields Too Large", Some("header_bytes")),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(21)),
            "431 Request Header Fields Too Large",
            Some("headers"),
        ),
        (
            "GET / HTTP/1.1\r\nX: ".to_owned() + &"x".repeat(2000),
            "431 Request Header Fields Too Large",
            Some("header_bytes"),
        ),
    ] {
        let mut served = serve(fine).await;
        served.say(&head).await;
        let metrics = Arc::clone(&served.metrics);
        let said = served.hear().await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{said}");
        let hits = metrics.encode();
        for of in ["header_bytes", "headers"] {
            let hit = hits.contains(&format!("tidegate_limit_hits_total{{limit=\"{of}\"}} 1\n"));
            assert_eq!(hit, limit == Some(of), "{of}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_asked_for_its_body_once_somebody_reads_it() {
    let head = "PUT / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n";
    let mut served = serve(echo).await;
    served.say(head).await;
    assert_eq!(served.hear_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    served.say("hello").await;
    assert_eq!(served.hear().await, ok("PUT / 5"));
    // One that is refused is not asked, nor one of HTTP/1.0, which knows nothing of it.
    let mut served = serve(fine).await;
    served.say(head).await;
    assert_eq!(served.hear().await, last("fine"));
    let mut served = serve(echo).await;
    served.say(&head.replace("1.1", "1.0")).await;
    served.say("hello").await;
    assert!(served.hear().await.starts_with("HTTP/1.0 200 OK\r\n"));
}

/// An answer of this status, with this body, of which it is told or not how long it is.
fn respond(status: u16, body: &'static str, is_known: bool) -> Response<Body> {
    let body = if is_known {
        Body::full(body)
    } else {
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
        sender.try_send(Frame::data(Bytes::from("known late"))).unwrap();
        Body::wrap(body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// What a body says of itself before each of its parts.
async fn told(request: Request<Body>) -> Response<Body> {
    let (mut body, mut told) = (request.into_body(), String::new());
    loop {
        told += &format!("{:?} {}, ", body.size_hint().exact(), body.is_end_stream());
        if body.frame().await.is_none() {
            return Response::new(Body::full(told));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_tells_how_much_of_it_is_to_come() {
    let counted = "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
    let chunked = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, parts, expected) in [
        (counted, ["hel", "lo"], "Some(5) false, Some(2) false, Some(0) true, "),
        (chunked, ["3\r\nhel\r\n", "2\r\nlo\r\n0\r\n\r\n"], "None false, None false, None false, "),
        (GET, ["", ""], "Some(0) true, "),
    ] {
        let mut served = serve(told).await;
        served.say(head).await;
        for part in parts {
            tokio::task::yield_now().await;
            served.say(part).await;
        }
        assert_eq!(served.hear().await, ok(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_have_as_much_room_as_a_head() {
    for (more, is_whole) in [(0, true), (1, false)] {
        let room = bounds().header_bytes;
        let trailer = format!("X: {}\r\n", "a".repeat(room - 7 + more));
        let mut served = serve(echo).await;
        served.say("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n").await;
        tokio::task::yield_now().await;
        served.say(&format!("{trailer}\r\n")).await;
        let said = served.hear().await;
        assert_eq!(said.starts_with("HTTP/1.1 200 "), is_whole, "{more}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_requests_trailers_are_heard() {
    let heard = Arc::new(Mutex::new(None));
    let mut served = serve({
        let heard = Arc::clone(&heard);
        move |request: Request<Body>| {
            let heard = Arc::clone(&heard);
            async move {
                *heard.lock().unwrap() = request.into_body().collect().await.unwrap().trailers().cloned();
                Response::new(Body::empty())
            }
        }
    })
    .await;
    served.say("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Su").await;
    tokio::task::yield_now().await;
    served.say("m: 7\r\n\r\n").await;
    served.hear().await;
    assert_eq!(heard.lock().unwrap().as_ref().unwrap()["x-sum"], "7");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_wants_any_more_is_not_worked_for() {
    struct Told(Arc<AtomicBool>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_dropped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_dropped);
    let mut served = serve(move |_| {
        let told = Told(Arc::clone(&told));
        async move {
            std::future::pending::<()>().await;
            drop(told);
            Response::new(Body::empty())
        }
    })
    .await;
    served.say(GET).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!is_dropped.load(Ordering::Relaxed));
    drop(served.client);
    assert!(served.connection.await.unwrap().is_err());
    assert!(is_dropped.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_left_ends_the_connection_and_one_that_is_read_elsewhere_holds_it() {
    let body = format!("PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello{GET}");
    let mut served = serve(fine).await;
    served.say(&body).await;
    assert_eq!(served.hear().await, last("fine"));
    let mut served = serve(|request: Request<Body>| {
        if request.method() == Method::PUT {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(request.into_body().collect().await);
            });
        }
        ready(Response::new(Body::full("fine")))
    })
    .await;
    served.say(&body).await;
    assert_eq!(served.hear_until(&[ok("fine"), ok("fine")].concat()).await.len(), 2 * ok("fine").len());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_a_body_that_is_read_elsewhere_leaves_no_connection() {
    let mut served = serve(|request: Request<Body>| {
        tokio::spawn(request.into_body().collect());
        ready(Response::new(Body::full("fine")))
    })
    .await;
    served.say("PUT / HTTP/1.1\r\nHost: r\r\nContent-Length: 9\r\n\r\nhalf").await;
    served.hear_until(&ok("fine")).await;
    drop(served.client);
    tokio::time::timeout(WAIT, served.connection).await.expect("it stays").unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_not_asked_for_its_body_hears_that_nothing_follows() {
    let mut served = serve(|request: Request<Body>| {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(request.into_body().collect().await);
        });
        ready(Response::new(Body::full("fine")))
    })
    .await;
    served.say("PUT / HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    served.hear_until(&last("fine")).await;
    // It sends the body all the same, or takes the answer for a no.
    served.say(&["body", GET].concat()).await;
    assert_eq!(served.hear().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_nothing_is_not_asked_for_more() {
    let mut served = serve(|request: Request<Body>| async move {
        drop(request.into_body().collect().await);
        tokio::time::sleep(Duration::from_secs(1)).await;
        Response::new(Body::full("fine"))
    })
    .await;
    served.say("PUT / HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody").await;
    assert_eq!(served.hear_until(&ok("fine")).await, ok("fine"));
}

#[tokio::test]
async fn an_empty_line_begins_no_head() {
    let (mut client, server) = duplex(PIPE);
    let mut wire = Wire::new(server, bounds());
    for (piece, has_begun) in [("\r", false), ("\n", false), ("G", true)] {
        client.write_all(piece.as_bytes()).await.unwrap();
        assert!(std::future::poll_fn(|cx| Poll::Ready(wire.poll_head(cx).is_pending())).await, "{piece:?}");
        assert_eq!(wire.has_begun(), has_begun, "{piece:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_protocol_passes_once_it_is_agreed_to_and_is_not_read_before() {
    let ask = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let service = |switches: bool| {
        move |mut request: Request<Body>| {
            let upgrade = Upgrade::of(&mut request).expect("it was asked for");
            if switches {
                tokio::spawn(async move {
                    let Some(Switched { mut io, .. }) = upgrade.switched().await else { return };
                    let mut said = [0; 4];
                    io.read_exact(&mut said).await.unwrap();
                    io.write_all(&said).await.unwrap();
                });
            }
            async move {
                drop(request.into_body().collect().await);
                tokio::time::sleep(Duration::from_secs(1)).await;
                respond(if switches { 101 } else { 200 }, "", true)
            }
        }
    };
    let mut served = serve(service(true)).await;
    served.say(ask).await;
    tokio::task::yield_now().await;
    served.say("\x01\0\n\n").await;
    assert_eq!(served.hear().await, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\0\n\n");
    // It goes on as before if the answer is another.
    let mut served = serve(service(false)).await;
    served.say(ask).await;
    tokio::task::yield_now().await;
    served.say(ask).await;
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(served.hear_until(&answer.repeat(2)).await, answer.repeat(2));
    // The request may have a body.
    let mut served = serve(service(true)).await;
    served.say(&ask.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n")).await;
    served.say("{}").await;
    tokio::task::yield_now().await;
    served.say("ping").await;
    assert_eq!(served.hear().await, "HTTP/1.1 101 Switching Protocols\r\n\r\nping");
    // Nobody asked for it.
    let mut served = serve(|_| ready(respond(101, "", true))).await;
    served.say(GET).await;
    served.say(GET).await;
    assert_eq!(served.hear().await, "HTTP/1.1 101 Switching Protocols\r\nconnection: close\r\n\r\n");
    // What came with the request is of neither protocol.
    for switches in [true, false] {
        let mut served = serve(service(switches)).await;
        served.say(&[ask, "ping"].concat()).await;
        let said = served.hear().await;
        assert!(said.contains("HTTP/1.1 400 ") && !said.ends_with("ping"), "{said}");
    }
    // Nor is anything said of it behind an answer that is the last.
    let mut served = serve(service(false)).await;
    served.say(&[&ask.replace("upgrade\r\n", "upgrade, close\r\n"), "ping"].concat()).await;
    assert_eq!(served.hear().await, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

/// The lengths of the bodies that are read to their end.
pub(in crate::server) fn heard(bytes: &[u8]) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&bodies);
        let mut served = serve(move |request: Request<Body>| {
            let heard = Arc::clone(&heard);
            async move {
                if let Ok(body) = request.into_body().collect().await {
                    heard.lock().unwrap().push(body.to_bytes().len() as u64);
                }
                Response::new(Body::empty())
            }
        })
        .await;
        served.client.write_all(bytes).await.unwrap();
        served.hear().await;
        std::mem::take(&mut *bodies.lock().unwrap())
    })
}
