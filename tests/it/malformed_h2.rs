//! HTTP/2 that breaks the rules of RFC 9113 §8: what no HTTP/1.1 request could say in one way never becomes one.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::h2::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, frame};
use crate::support::client::{Door, encrypted};
use crate::support::gateway::Setup;
use crate::support::soon;
use crate::support::stage::{PUSH, Stage};
use crate::support::wire::Ending;

type Fields = &'static [(&'static str, &'static str)];

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const HOST: (&str, &str) = (":authority", "registry.test");
/// Stands for a target that is served.
const PATH: (&str, &str) = (":path", "{T}");
/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;
const SERVED: Fields = &[METHOD, SCHEME, HOST, PATH];

/// What cannot be a request of any kind is left to HTTP/2's parser, which ends the stream (RFC 9113 §8.1.1).
const RESET: Outcome = Outcome::Reset(PROTOCOL_ERROR);
/// It ends the connection for fields that are none, wherever they stand, which that section leaves to it (§5.4.1).
const GONE: Outcome = Outcome::Gone(PROTOCOL_ERROR);
/// What is a request, and has two readings.
const REFUSED: Outcome = Outcome::Answered(400);
/// A method that is not served (RFC 9110 §15.5.6).
const NOT_SERVED: Outcome = Outcome::Answered(405);

/// Requests without a body, and what becomes of them; the credential comes last.
const HEADS: &[(&str, Outcome, Fields)] = &[
    ("8.2.1 upper case", GONE, &[METHOD, SCHEME, HOST, PATH, ("X-Upper", "a")]),
    ("8.2.1 a space in a name", GONE, &[METHOD, SCHEME, HOST, PATH, ("a b", "c")]),
    ("8.2.1 a colon in a name", GONE, &[METHOD, SCHEME, HOST, PATH, ("a:b", "c")]),
    ("8.2.1 NUL in a name", GONE, &[METHOD, SCHEME, HOST, PATH, ("a\0", "c")]),
    ("8.2.1 no name", GONE, &[METHOD, SCHEME, HOST, PATH, ("", "c")]),
    ("8.2.1 a line in a value", GONE, &[METHOD, SCHEME, HOST, PATH, ("a", "b\r\nc: d")]),
    ("8.2.1 LF in a value", GONE, &[METHOD, SCHEME, HOST, PATH, ("a", "b\nc")]),
    ("8.2.1 NUL in a value", GONE, &[METHOD, SCHEME, HOST, PATH, ("a", "b\0c")]),
    ("8.2.2 transfer-encoding", RESET, &[METHOD, SCHEME, HOST, PATH, ("transfer-encoding", "chunked")]),
    ("8.2.2 connection", RESET, &[METHOD, SCHEME, HOST, PATH, ("connection", "authorization")]),
    ("8.2.2 connection: close", RESET, &[METHOD, SCHEME, HOST, PATH, ("connection", "close")]),
    ("8.2.2 keep-alive", RESET, &[METHOD, SCHEME, HOST, PATH, ("keep-alive", "1")]),
    ("8.2.2 proxy-connection", RESET, &[METHOD, SCHEME, HOST, PATH, ("proxy-connection", "close")]),
    ("8.2.2 upgrade", RESET, &[METHOD, SCHEME, HOST, PATH, ("upgrade", "h2c")]),
    ("8.2.2 te", RESET, &[METHOD, SCHEME, HOST, PATH, ("te", "gzip")]),
    ("8.3 behind a field", RESET, &[METHOD, SCHEME, HOST, ("a", "b"), PATH]),
    ("8.3 an unknown one", GONE, &[METHOD, SCHEME, HOST, PATH, (":a", "b")]),
    ("8.3 an answer's", RESET, &[METHOD, SCHEME, HOST, PATH, (":status", "200")]),
    ("8.3.1 two methods", RESET, &[METHOD, (":method", "PUT"), SCHEME, HOST, PATH]),
    ("8.3.1 two equal methods", RESET, &[METHOD, METHOD, SCHEME, HOST, PATH]),
    ("8.3.1 two schemes", RESET, &[METHOD, SCHEME, SCHEME, HOST, PATH]),
    ("8.3.1 two authorities", RESET, &[METHOD, SCHEME, HOST, (":authority", "other.test"), PATH]),
    ("8.3.1 two equal authorities", RESET, &[METHOD, SCHEME, HOST, HOST, PATH]),
    ("8.3.1 two paths", RESET, &[METHOD, SCHEME, HOST, PATH, (":path", "/v2/")]),
    ("8.3.1 no method", RESET, &[SCHEME, HOST, PATH]),
    ("8.3.1 no scheme", RESET, &[METHOD, HOST, PATH]),
    ("8.3.1 no path", RESET, &[METHOD, SCHEME, HOST]),
    ("8.3.1 no authority", REFUSED, &[METHOD, SCHEME, PATH]),
    ("8.3.1 an empty path", RESET, &[METHOD, SCHEME, HOST, (":path", "")]),
    ("8.3.1 a path without its slash", RESET, &[METHOD, SCHEME, HOST, (":path", "v2/?{T}")]),
    ("8.3.1 a whole URL for a path", RESET, &[METHOD, SCHEME, HOST, (":path", "https://other.test{T}")]),
    ("8.3.1 an asterisk", REFUSED, &[METHOD, SCHEME, HOST, (":path", "*")]),
    ("8.3.1 a space in the path", RESET, &[METHOD, SCHEME, HOST, (":path", "{T}&a b")]),
    ("8.3.1 a line in the path", RESET, &[METHOD, SCHEME, HOST, (":path", "{T} HTTP/1.1\r\na: b")]),
    ("8.3.1 a line in the method", GONE, &[(":method", "GET / HTTP/1.1\r\na: b"), SCHEME, HOST, PATH]),
    ("8.3.1 a user", REFUSED, &[METHOD, SCHEME, (":authority", "a@registry.test"), PATH]),
    ("8.3.1 a path in the authority", RESET, &[METHOD, SCHEME, (":authority", "registry.test/a"), PATH]),
    ("8.3.1 another host", REFUSED, &[METHOD, SCHEME, HOST, PATH, ("host", "other.test")]),
    ("8.3.1 another port", REFUSED, &[METHOD, SCHEME, HOST, PATH, ("host", "registry.test:80")]),
    ("8.3.1 two hosts", REFUSED, &[METHOD, SCHEME, HOST, PATH, ("host", "registry.test"), ("host", "registry.test")]),
    ("8.5 CONNECT", NOT_SERVED, &[(":method", "CONNECT"), HOST]),
    ("8441 4 another protocol", RESET, &[(":method", "CONNECT"), SCHEME, HOST, PATH, (":protocol", "websocket")]),
    ("9110 8.6 two lengths", RESET, &[METHOD, SCHEME, HOST, PATH, ("content-length", "0"), ("content-length", "5")]),
    (
        "9110 8.6 two equal lengths",
        REFUSED,
        &[METHOD, SCHEME, HOST, PATH, ("content-length", "0"), ("content-length", "0")],
    ),
    ("9110 9.3.8 TRACE", NOT_SERVED, &[(":method", "TRACE"), SCHEME, HOST, PATH]),
    ("9110 11.6.2 two credentials", REFUSED, &[METHOD, SCHEME, HOST, PATH, ("authorization", "Basic YTpi")]),
    ("an underscore", REFUSED, &[METHOD, SCHEME, HOST, PATH, ("x_forwarded_for", "1")]),
];

/// What comes behind a head whose `content-length` is this: frames of DATA, the last of which ends the stream.
///
/// A pseudo-field in trailers (RFC 9113 §8.1) is not among them: the HTTP library drops it and takes the body.
const BODIES: &[(&str, Outcome, &[&str], &[&str])] = &[
    ("8.1.1 less than its length", RESET, &["9"], &["layer"]),
    ("8.1.1 nothing of its length", RESET, &["9"], &[""]),
    ("8.1.1 more than its length", RESET, &["3"], &["layer"]),
    ("8.1.1 more than its length, later", RESET, &["5"], &["layer", "s"]),
    ("8.1.1 more than no length", RESET, &["0"], &["layer"]),
    ("8.6 two lengths", RESET, &["5", "9"], &["layer"]),
    ("8.6 two lengths, the other way", RESET, &["9", "5"], &["layer"]),
    ("8.6 two equal lengths", REFUSED, &["5", "5"], &["layer"]),
    ("8.6 a list of equals", RESET, &["5, 5"], &["layer"]),
    ("8.6 a plus", RESET, &["+5"], &["layer"]),
    ("8.6 a minus", RESET, &["-5"], &["layer"]),
    ("8.6 hexadecimal", RESET, &["0x5"], &["layer"]),
    ("8.6 no number", RESET, &[""], &["layer"]),
    ("8.6 2 to the 64th and 5", RESET, &["18446744073709551621"], &["layer"]),
];

/// A string without Huffman coding (RFC 7541 §5.2).
fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len().checked_sub(127) {
        None => bytes.push(u8::try_from(text.len()).unwrap()),
        Some(mut rest) => {
            bytes.push(127);
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Fields that are not indexed (RFC 7541 §6.2.2).
fn block<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    fields.into_iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// What becomes of the first stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// An answer with this status.
    Answered(u16),
    /// Its stream alone ends, with this error (RFC 9113 §7).
    Reset(u32),
    /// The connection ends, with this error.
    Gone(u32),
    /// The connection ends without a word.
    Ended,
}

/// The status of an answer, whose `:status` comes first: one of the static table, or its index and three digits (RFC
/// 7541, appendix A), with Huffman's code (appendix B) or without.
fn status(block: &[u8]) -> u16 {
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [_, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        [_, length, coded @ ..] if length & 0x80 != 0 => {
            let coded = &coded[..usize::from(length & 0x7f)];
            let mut bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
            let mut take = |count| bits.by_ref().take(count).fold(0, |sum, bit| sum << 1 | bit);
            // `0` to `2` have five bits, the other digits begin with 0110 or 0111 and have six.
            let mut digit = || match take(5) {
                few @ 0..=2 => few,
                more => (more << 1 | take(1)) - 0b011_001 + 3,
            };
            (0..3).fold(0, |sum, _| sum * 10 + digit())
        }
        other => panic!("no status: {other:?}"),
    }
}

/// How a frame's payload tells of an error, behind `skipped` bytes.
fn error(payload: &[u8], skipped: usize) -> u32 {
    u32::from_be_bytes(payload[skipped..skipped + 4].try_into().unwrap())
}

struct Client(TlsStream<TcpStream>);

impl Client {
    async fn open(stage: &Stage) -> Self {
        let stream = TcpStream::connect(stage.gateway.address).await.unwrap();
        let mut client = Self(encrypted(stream, b"h2").await);
        client.write(PREFACE).await;
        client
    }

    async fn write(&mut self, bytes: &[u8]) {
        // The connection may be gone before all is written.
        let _cut = self.0.write_all(bytes).await;
        let _cut = self.0.flush().await;
    }

    /// The next frame's type, stream and payload; none where the connection has ended.
    async fn frame(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[8], payload))
    }

    async fn outcome(&mut self) -> Outcome {
        soon(async {
            loop {
                let Some((kind, stream, payload)) = self.frame().await else { return Outcome::Ended };
                match (kind, stream) {
                    (HEADERS, 1) => return Outcome::Answered(status(&payload)),
                    (RST_STREAM, 1) => return Outcome::Reset(error(&payload, 0)),
                    (GOAWAY, _) => return Outcome::Gone(error(&payload, 4)),
                    _ => {}
                }
            }
        })
        .await
    }
}

async fn stage() -> (Stage, String) {
    let stage = Stage::with(Setup { door: Door::Tls2, ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    (stage, format!("Bearer {token}"))
}

async fn asked(stage: &Stage, fields: Fields, target: &str, bearer: &str) -> Outcome {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.replace("{T}", target))).collect();
    let all = fields.iter().map(|(name, value)| (*name, value.as_str())).chain([("authorization", bearer)]);
    let mut client = Client::open(stage).await;
    client.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(all))).await;
    client.outcome().await
}

#[tokio::test]
async fn a_head_that_breaks_a_rule_is_no_request() {
    let (stage, bearer) = stage().await;
    let target = "/v2/group/project/tags/list?n=1";
    // What is right is served, or the rest would prove nothing.
    assert_eq!(asked(&stage, SERVED, target, &bearer).await, Outcome::Answered(200));
    assert_eq!(stage.registry.requests().len(), 1);
    let mut passed = Vec::new();
    for (name, expected, fields) in HEADS {
        let outcome = asked(&stage, fields, target, &bearer).await;
        let seen = stage.registry.requests().len();
        if outcome != *expected || seen != 1 {
            passed.push(format!("{name}: {outcome:?}, not {expected:?}; {seen} requests"));
        }
    }
    println!("{} heads, {} complaints", HEADS.len(), passed.len());
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

/// Waits until the gateway has read what was written so far, and has had turns to pass it on.
async fn settled(client: &mut Client) {
    for _turn in 0..3 {
        client.write(&frame(PING, 0, 0, b"settled?")).await;
        soon(async {
            loop {
                if matches!(client.frame().await, None | Some((PING, ..))) {
                    break;
                }
            }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_body_is_complete_once_its_end_has_come() {
    let (stage, bearer) = stage().await;
    let token = bearer.strip_prefix("Bearer ").unwrap();
    // What has come when the registry must not hold the whole yet, what comes then, and whether that makes it one.
    for (length, first, then, right) in [
        ("5", Some("layer"), Some(""), true),
        ("5", Some("layer"), Some("s"), false),
        ("5", Some("layer"), None, false),
        ("0", None, Some(""), true),
        ("0", None, Some("s"), false),
        ("0", None, None, false),
    ] {
        let location = stage.open(token).await;
        let before = stage.registry.requests().len();
        let head = [(":method", "PATCH"), SCHEME, HOST, (":path", &location), ("authorization", &bearer)];
        let mut client = Client::open(&stage).await;
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(head.into_iter().chain([("content-length", length)])));
        bytes.extend(first.map(|data| frame(DATA, 0, 1, data.as_bytes())).unwrap_or_default());
        client.write(&bytes).await;
        settled(&mut client).await;
        let early = stage.registry.requests()[before..].iter().any(|one| one.ending == Ending::Complete);
        assert!(!early, "{length}, {first:?}: complete before its end");
        let end = match then {
            Some(data) => frame(DATA, END_STREAM, 1, data.as_bytes()),
            None => frame(RST_STREAM, 0, 1, &[0; 4]),
        };
        client.write(&end).await;
        if right {
            assert_eq!(client.outcome().await, Outcome::Answered(202), "{length}, {first:?}, {then:?}");
        } else {
            settled(&mut client).await;
        }
        let complete = stage.registry.requests()[before..].iter().any(|one| one.ending == Ending::Complete);
        assert_eq!(complete, right, "{length}, {first:?}, {then:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_is_never_complete() {
    let (stage, bearer) = stage().await;
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let mut passed = Vec::new();
    let right = [("right", Outcome::Answered(202), &["5"][..], &["layer"][..])];
    for (number, (name, expected, lengths, data)) in right.iter().chain(BODIES).enumerate() {
        let location = stage.open(token).await;
        let before = stage.registry.requests().len();
        let head = [(":method", "PATCH"), SCHEME, HOST, (":path", &location), ("authorization", &bearer)];
        let lengths = lengths.iter().map(|length| ("content-length", *length));
        let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(head.into_iter().chain(lengths)));
        for (at, part) in data.iter().enumerate() {
            let last = at + 1 == data.len();
            bytes.extend(frame(DATA, if last { END_STREAM } else { 0 }, 1, part.as_bytes()));
        }
        let mut client = Client::open(&stage).await;
        client.write(&bytes).await;
        let outcome = client.outcome().await;
        let seen = stage.registry.wire.until(|all| all[before..].iter().all(|one| one.ending != Ending::Open)).await;
        let complete = seen[before..].iter().any(|one| one.ending == Ending::Complete);
        let right = number == 0;
        if complete != right || outcome != *expected {
            passed.push(format!("{name}: {outcome:?}, not {expected:?}, complete: {complete}"));
        }
    }
    // What was answered before the registry heard of it has been cut as well.
    let seen = stage.registry.requests();
    let complete = seen.iter().filter(|one| one.method == "PATCH" && one.ending == Ending::Complete).count();
    println!("{} bodies, {} complaints", BODIES.len(), passed.len());
    assert!(passed.is_empty() && complete == 1, "{complete} complete\n{}", passed.join("\n"));
}
