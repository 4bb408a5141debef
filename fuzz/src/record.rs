//! What a client says in TLS 1.3 once it has shaken hands: what is handed on is what was sent, to the byte and no more,
//! however it arrives; and what we say then is heard.
//!
//! The bytes are a script, a line for each thing that happens:
//!
//! ```text
//! 1000 40000          bytes that arrive at a time, room that the reader has
//! data 16384 7        a record with so many bytes, and so much padding
//! update 1            a KeyUpdate that asks for ours
//! alert 1 0           an alert: level, description
//! inner 22 24 0 0     a record of this kind, with these bytes
//! outer 20 1          a record that is not sealed
//! flip                a bit of the next record
//! cut                 the end of the connection
//! ```

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustls::{ContentType, ServerConfig};
use tidegate::server::tls::stream::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::line::Wire;
use super::shaken::{Client, ENDS, shaken};

/// The most that a record carries (RFC 8446 §5.1).
const MAX: usize = 1 << 14;
/// Records in a row that carry nothing, as OpenSSL bounds them.
const USELESS: u32 = 32;
/// Lines of a script: a record costs more than a line.
const LINES: usize = 200;

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It does not.
    Open,
    /// The client has said that it does.
    Said,
    /// The connection was cut.
    Cut,
    /// With this alert, if one is sent.
    Refused(Option<u8>),
}

/// What has to come of it, by the standard.
struct Meant {
    data: Vec<u8>,
    end: End,
    useless: u32,
    asks: bool,
}

/// The bytes are a script.
pub fn check(data: &[u8]) {
    let Ok(script) = std::str::from_utf8(data) else { return };
    for server in &ENDS.0 {
        play(script, server);
    }
}

fn play(script: &str, server: &ServerConfig) {
    let mut lines = script.lines().take(LINES);
    let Some(&[at_once, room]) = lines.next().map(|line| numbers(line.split(' '))).as_deref() else { return };
    if at_once == 0 || room == 0 {
        return;
    }
    let (mut client, mut stream) = shaken(server, at_once, 128 * 1024);
    let mut meant = Meant { data: Vec::new(), end: End::Open, useless: 0, asks: false };
    let mut is_flipped = false;
    for line in lines {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers = numbers(rest.split(' '));
        match kind {
            "flip" => is_flipped = true,
            "cut" => {
                client.cut();
                meant.ends(End::Cut);
                break;
            }
            "outer" => {
                let Some(kind) = numbers.first().and_then(|kind| u8::try_from(*kind).ok()).filter(|kind| *kind != 23)
                else {
                    continue;
                };
                client.send(&[kind, 3, 3, 0, 1, 0]);
                meant.ends(End::Refused(Some(10)));
            }
            _ => {
                let Some(inner) = inner(kind, &numbers) else { continue };
                said(&mut client, &inner, std::mem::take(&mut is_flipped), &mut meant);
            }
        }
    }
    let (got, end) = read(&mut stream, room.min(1 << 18));
    // What it is refused with is for the client to hear.
    let seen = if matches!(meant.end, End::Refused(_)) { End::Refused(None) } else { meant.end };
    assert_eq!(end, seen);
    assert!(got == meant.data, "{} bytes were handed on, {} were sent", got.len(), meant.data.len());
    answered(&mut client, &mut stream, &meant);
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Vec<usize> {
    words.map_while(|word| word.parse().ok()).collect()
}

/// Says one record, with or without a bit that was changed on its way.
fn said(client: &mut Client, inner: &[u8], is_flipped: bool, meant: &mut Meant) {
    let mut record = client.sealed(inner);
    if is_flipped {
        *record.last_mut().expect("a record") ^= 1;
    }
    client.send(&record);
    meant.take(inner, is_flipped);
    if matches!(inner, [24, 0, 0, 1, 0 | 1, 22]) {
        client.update();
    }
}

/// What is to be sealed, with its kind and its padding.
fn inner(kind: &str, numbers: &[usize]) -> Option<Vec<u8>> {
    let bytes =
        |numbers: &[usize]| -> Option<Vec<u8>> { numbers.iter().map(|number| u8::try_from(*number).ok()).collect() };
    match (kind, numbers) {
        ("data", [length, padding @ ..]) => {
            let (length, padding) = (*length, padding.first().copied().unwrap_or(0));
            if length + padding > MAX + 255 {
                return None;
            }
            let mut inner: Vec<u8> = (0..=250).cycle().take(length).collect();
            inner.push(23);
            inner.resize(length + 1 + padding, 0);
            Some(inner)
        }
        ("update", [asks]) => Some([bytes(&[24, 0, 0, 1, *asks])?, vec![22]].concat()),
        ("alert", [level, description]) => Some([bytes(&[*level, *description])?, vec![21]].concat()),
        ("inner", [kind, rest @ ..]) => Some([bytes(rest)?, bytes(&[*kind])?].concat()),
        _ => None,
    }
}

impl Meant {
    fn ends(&mut self, end: End) {
        if self.end == End::Open {
            self.end = end;
        }
    }

    fn refused(&mut self, alert: u8) {
        self.ends(End::Refused(Some(alert)));
    }

    /// One record more.
    fn take(&mut self, inner: &[u8], is_flipped: bool) {
        if self.end != End::Open {
            return;
        }
        if is_flipped {
            return self.refused(20);
        }
        if inner.len() > MAX + 1 {
            return self.refused(22);
        }
        let Some(last) = inner.iter().rposition(|byte| *byte != 0) else { return self.refused(10) };
        match (inner[last], &inner[..last]) {
            (23, []) | (21, [_, 90]) => self.useless += 1,
            (23, data) => {
                self.useless = 0;
                self.data.extend_from_slice(data);
            }
            (21, [_, 0]) => self.end = End::Said,
            (21, [_, _]) => self.end = End::Refused(None),
            (22, [24, 0, 0, 1, asks @ (0 | 1)]) => {
                self.useless += 1;
                self.asks |= *asks == 1;
            }
            _ => self.refused(10),
        }
        if self.useless > USELESS {
            self.refused(10);
        }
    }
}

/// What the reader gets, with so much room at a time, and how it ends for it.
fn read(stream: &mut Stream<Wire>, room: usize) -> (Vec<u8>, End) {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
    loop {
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut *stream).poll_read(&mut cx, &mut buffer) {
            Poll::Pending => return (got, End::Open),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return (got, End::Said),
            Poll::Ready(Ok(())) => got.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => return (got, End::Cut),
            Poll::Ready(Err(_)) => return (got, End::Refused(None)),
        }
    }
}

/// Whether the client hears what it has to.
fn answered(client: &mut Client, stream: &mut Stream<Wire>, meant: &Meant) {
    let mut cx = Context::from_waker(Waker::noop());
    let answer = vec![7; 40_000];
    let mut written = 0;
    while written < answer.len() {
        match Pin::new(&mut *stream).poll_write(&mut cx, &answer[written..]) {
            Poll::Ready(Ok(more)) => written += more,
            Poll::Ready(Err(error)) => {
                assert!(matches!(meant.end, End::Refused(_)), "{error}");
                break;
            }
            Poll::Pending => panic!("it waits for a client that takes everything"),
        }
    }
    if let End::Refused(alert) = meant.end {
        assert_eq!(written, 0, "a client that was refused is told more");
        let told = client.hear().map(|(kind, told)| (kind, told[1]));
        assert_eq!(told, alert.map(|alert| (ContentType::Alert, alert)));
        assert_eq!(client.hear(), None);
        return;
    }
    let mut heard = Vec::new();
    let mut updates = 0;
    while let Some((kind, payload)) = client.hear() {
        match kind {
            ContentType::ApplicationData => heard.extend(payload),
            _ => {
                assert_eq!(payload, [24, 0, 0, 1, 0], "{kind:?}");
                updates += 1;
            }
        }
    }
    assert!(heard == answer, "{} bytes were heard", heard.len());
    assert_eq!(updates, u32::from(meant.asks), "KeyUpdates of ours");
}
