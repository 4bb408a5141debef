//! What clients ask on a connection over HTTP/1.1: what is served is what stands there, up to the first fault and nothing
//! behind it, however the bytes come; a body that breaks off is never a whole one; each answer is out, in its turn; and it
//! ends when the client does.
//!
//! The first line says how it goes, the rest is the client's stream:
//!
//! ```text
//! 3 0 1     bytes that come, turn by turn, over and over
//! turns2    the service takes so many turns before it reads a body, and before it answers
//! room7     bytes of an answer that are taken at a time
//! late      it does not say how long its answers are
//! switches  it agrees to another protocol
//! hasty     the client closes its end behind its last word
//! ```

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::DATE;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tidegate::base::body::{Body, BodyError};
use tidegate::base::upgrade::Upgrade;
use tidegate::server::h1::{Bounds, serve};
use tidegate::telemetry::metrics::Metrics;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};

use super::requests::{Asked, HEADER_BYTES, HEADERS, Stream};
use super::turns::Turns;

/// What a refusal's patience is measured by. Nothing turns it: whoever waits for it waits for ever.
static CLOCK: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
/// RFC 9110 §15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new()));

/// The bytes are how it goes, a line feed, and what a client says.
pub fn check(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let how = How::read(&String::from_utf8_lossy(&data[..end]));
    let said = &data[end + 1..];
    let stream = Stream::read(said);
    how.holds(said, &stream);
    let at_once = How { pace: vec![usize::MAX], is_hasty: false, ..how.clone() };
    at_once.holds(said, &stream);
    How { pace: vec![1], ..at_once }.holds(said, &stream);
}

/// How it goes.
#[derive(Clone, Debug)]
struct How {
    pace: Vec<usize>,
    turns: usize,
    room: usize,
    is_late: bool,
    switches: bool,
    is_hasty: bool,
}

/// What came of it.
#[derive(Debug)]
struct Served {
    requests: Vec<Asked>,
    answers: Vec<u8>,
    /// What was said in another protocol.
    switched: Option<Vec<u8>>,
    /// Whether it ended as it should.
    is_well: bool,
}

impl How {
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').take(20).collect();
        let number = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.parse::<u16>().ok());
        let mut pace: Vec<usize> = words.iter().filter_map(|word| word.parse::<u16>().ok()).map(usize::from).collect();
        if pace.iter().all(|come| *come == 0) {
            pace.push(usize::MAX);
        }
        Self {
            pace,
            turns: usize::from(number("turns").unwrap_or(0).min(9)),
            room: number("room").filter(|room| *room > 0).map_or(usize::MAX, usize::from),
            is_late: words.contains(&"late"),
            switches: words.contains(&"switches"),
            is_hasty: words.contains(&"hasty"),
        }
    }

    /// Whether all comes in one piece, and is read in one.
    fn is_at_once(&self) -> bool {
        self.pace == [usize::MAX]
    }

    fn holds(&self, said: &[u8], stream: &Stream) {
        let served = self.serve(said);
        let shown = said.escape_ascii();
        for (at, heard) in served.requests.iter().enumerate() {
            let Some((asked, _)) = stream.requests.get(at) else { panic!("{heard:?} was not asked: {shown}") };
            if self.is_hasty && at + 1 == served.requests.len() && heard.is_whole.is_none() {
                // The client was gone before anybody had all of it.
                assert!(asked.body.starts_with(&heard.body), "{shown}");
                let (body, is_whole) = (asked.body.clone(), asked.is_whole);
                let trailers = asked.trailers.clone();
                assert_eq!(&Asked { body, is_whole, trailers, ..heard.clone() }, asked, "{shown}");
            } else {
                assert_eq!(heard, asked, "{shown}");
            }
        }
        let Some(rest) = self.answered(&served, said, stream) else { return };
        let count = served.requests.len();
        let last = count.checked_sub(1).and_then(|last| stream.requests.get(last));
        let end = last.map_or(0, |(_, end)| *end);
        let follows = end < said.len();
        // What follows a request for another protocol is refused if it is there too early.
        let is_doubtful = follows && last.is_some_and(|(asked, _)| asked.switches());
        if let Some(switched) = &served.switched {
            assert!(rest.is_empty() && said.get(end..) == Some(switched), "{switched:?} is handed over: {shown}");
            assert!(!self.is_at_once() || !follows, "{shown}");
        } else if last.is_some_and(|(asked, _)| self.is_last(asked)) {
            assert!(rest.is_empty(), "{} behind the last answer: {shown}", rest.escape_ascii());
        } else if rest.is_empty() {
            let is_through =
                count == stream.requests.len() && !stream.is_refused && !(is_doubtful && self.is_at_once());
            let is_left = last.is_some_and(|(asked, _)| self.agrees(asked));
            assert!(self.is_hasty || (is_through && !is_left), "it ends too early: {shown}");
            assert!(self.is_hasty || served.is_well || follows, "it breaks off behind a message: {shown}");
        } else {
            assert!(is_doubtful || (count == stream.requests.len() && stream.is_refused), "it is refused: {shown}");
            refused(rest);
        }
    }

    /// What is written behind the answers to the requests that were served, in their order; none: a hasty client left
    /// while it was written.
    fn answered<'a>(&self, served: &'a Served, said: &[u8], stream: &Stream) -> Option<&'a [u8]> {
        let mut rest = &served.answers[..];
        for (at, (asked, end)) in stream.requests.iter().take(served.requests.len()).enumerate() {
            if asked.waits() {
                let is_asked = rest.starts_with(CONTINUE);
                rest = rest.strip_prefix(CONTINUE).unwrap_or(rest);
                let has_waited = asked.body.is_empty() && *end == said.len() && said.ends_with(b"\r\n\r\n");
                let must = has_waited && asked.is_whole == Some(false) && !self.is_hasty;
                assert!(is_asked || !must, "the client waits to be asked: {}", said.escape_ascii());
            }
            let answer = self.answer(at, asked);
            rest = match rest.strip_prefix(&answer[..]) {
                Some(rest) => rest,
                None if self.is_hasty && at + 1 == served.requests.len() && answer.starts_with(rest) => return None,
                None => panic!("{} is no {}", rest.escape_ascii(), answer.escape_ascii()),
            };
            assert!(at + 1 == served.requests.len() || !self.is_last(asked), "it goes on: {}", said.escape_ascii());
        }
        Some(rest)
    }

    fn serve(&self, said: &[u8]) -> Served {
        let _clock = CLOCK.enter();
        let (first, read, written) =
            if self.is_at_once() { (said.len() + 1, said.len() + 1, 1 << 12) } else { (100, 50, 30) };
        let refused = (1 << 20, Duration::from_secs(10));
        let bounds = Bounds { header_bytes: HEADER_BYTES, headers: HEADERS, first, read, written, refused };
        let heard = Arc::new(Mutex::new(Vec::new()));
        let switched = Arc::new(Mutex::new(None));
        let service = |mut request: Request<Body>| {
            let (heard, switched) = (Arc::clone(&heard), Arc::clone(&switched));
            async move {
                let upgrade = Upgrade::of(&mut request);
                turns(self.turns).await;
                let at = Asked::hear(request, &heard).await;
                turns(self.turns).await;
                let asked = heard.lock().expect("one thread")[at].clone();
                assert_eq!(upgrade.is_some(), asked.switches(), "{asked:?}");
                if self.agrees(&asked) {
                    *switched.lock().expect("one thread") = upgrade;
                }
                Ok::<_, Infallible>(self.respond(at, &asked))
            }
        };
        let client = Turns::new(said, self.room);
        let connection = serve(client.clone(), service, Arc::clone(&METRICS), bounds);
        let is_well = client.drive(&self.pace, self.is_hasty, connection).is_ok();
        let upgrade = switched.lock().expect("one thread").take();
        let switched = upgrade.and_then(|upgrade| {
            client.drive(&self.pace, self.is_hasty, async {
                let (mut io, mut said) = (upgrade.switched().await?.io, Vec::new());
                io.read_to_end(&mut said).await.expect("it cannot fail");
                Some(said)
            })
        });
        assert!(!is_well || switched.is_some() || client.is_shut(), "it leaves its end open");
        let requests = std::mem::take(&mut *heard.lock().expect("one thread"));
        Served { requests, answers: client.heard(), switched, is_well }
    }

    /// Whether the service agrees to another protocol.
    fn agrees(&self, asked: &Asked) -> bool {
        self.switches && asked.switches() && asked.method != "CONNECT" && asked.is_whole == Some(true)
    }

    /// Whether the connection ends with its answer (RFC 9112 §9.3).
    fn is_last(&self, asked: &Asked) -> bool {
        let until_close = self.is_late && asked.is_old && !asked.is_bare();
        let says = asked.lists("connection", "close") || (asked.is_old && !asked.lists("connection", "keep-alive"));
        asked.is_whole == Some(false) || (!self.agrees(asked) && (says || until_close))
    }

    fn respond(&self, at: usize, asked: &Asked) -> Response<Body> {
        let body = Bytes::from(content(at, asked));
        let mut response = Response::new(match (self.agrees(asked), self.is_late) {
            (true, _) => Body::empty(),
            (_, true) => Body::wrap(Late(Some(body))),
            _ => Body::full(body),
        });
        if self.agrees(asked) {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        response.headers_mut().insert(DATE, HeaderValue::from_static("now"));
        response
    }

    /// The same as it has to be written (RFC 9112 §6).
    fn answer(&self, at: usize, asked: &Asked) -> Vec<u8> {
        let version = if asked.is_old { "HTTP/1.0" } else { "HTTP/1.1" };
        if self.agrees(asked) {
            return format!("{version} 101 Switching Protocols\r\ndate: now\r\n\r\n").into_bytes();
        }
        let content = content(at, asked);
        let (length, body) = match (self.is_late, asked.is_old) {
            _ if asked.method == "CONNECT" => (String::new(), String::new()),
            (false, _) => (format!("content-length: {}\r\n", content.len()), content),
            (true, _) if asked.is_bare() => (String::new(), String::new()),
            (true, true) => (String::new(), content),
            (true, false) => {
                let chunks = format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len());
                ("transfer-encoding: chunked\r\n".to_owned(), chunks)
            }
        };
        let connection = match (self.is_last(asked), asked.is_old) {
            (true, _) => "connection: close\r\n",
            (_, true) => "connection: keep-alive\r\n",
            _ => "",
        };
        let body = if asked.is_bare() { "" } else { &body };
        format!("{version} 200 OK\r\ndate: now\r\n{length}{connection}\r\n{body}").into_bytes()
    }
}

impl Asked {
    /// Whether it asks for another protocol.
    fn switches(&self) -> bool {
        self.method == "CONNECT" || self.has("upgrade")
    }

    /// Whether its answer has no body.
    fn is_bare(&self) -> bool {
        self.method == "CONNECT" || self.method == "HEAD"
    }

    /// Whether its client waits to be asked for the body.
    fn waits(&self) -> bool {
        let has_body = self.has("transfer-encoding") || self.fields.iter().any(is_length);
        let value = self.fields.iter().find(|(name, _)| name == "expect").map(|(_, value)| value);
        !self.is_old && has_body && value.is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }
}

/// Whether a field says that there is a body.
fn is_length((name, value): &(String, String)) -> bool {
    name == "content-length" && value.bytes().any(|byte| byte != b'0')
}

/// What the answer to a request says.
fn content(at: usize, asked: &Asked) -> String {
    format!("{at} {} {}", asked.method, asked.body.len())
}

/// The last words to a client, and nothing behind them.
fn refused(said: &[u8]) {
    let text = String::from_utf8_lossy(said);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?} has no end"));
    let status = ["HTTP/1.1 400 ", "HTTP/1.1 414 ", "HTTP/1.1 431 "];
    assert!(status.iter().any(|status| head.starts_with(status)), "{text}");
    let length = format!("\r\ncontent-length: {}\r\n", body.len());
    assert!(head.contains(&length) && head.ends_with("\r\nconnection: close"), "{text}");
    let told: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(told["errors"][0]["message"].is_string(), "{text}");
}

/// So many turns are taken by others.
async fn turns(mut count: usize) {
    std::future::poll_fn(|cx| {
        if count == 0 {
            return Poll::Ready(());
        }
        count -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A body that does not say how long it is.
struct Late(Option<Bytes>);

impl HttpBody for Late {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
