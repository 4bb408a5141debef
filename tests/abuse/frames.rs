//! HTTP/2 frames, written byte for byte, in numbers that nobody needs.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::attack::{Ended, again};
use crate::client::{H2, PATIENCE, connect, until_the_end};
use crate::gate::Gate;
use crate::support::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame,
};

/// Of a flood's frames, or pairs of them, so many go out before it is asked whether they were taken.
const AT_ONCE: usize = 10;
/// Where it cannot be asked, how long the end of it may take to come before more is sent.
const UNASKED: Duration = Duration::from_millis(100);
/// Frames that may be taken of a flood before it is ended: its frames, or pairs of them, cost one each of the 500 that
/// `h2_frames` gives at once.
const TAKEN: f64 = 1000.0;
/// And so many more a second, of the 100 that time earns.
const EARNED: f64 = 200.0;
/// The flag of an answer to a PING (RFC 9113 §6.7).
const ACK: u8 = 0x1;
/// RFC 9113 §7.
const CANCEL: u32 = 0x8;
/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What there is too much of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flood {
    /// Streams opened and taken back (CVE-2023-44487).
    RapidReset,
    /// The same, but only once they are on their way to the registry.
    LateReset,
    /// Streams that the server has to reset (CVE-2025-8671).
    MadeYouReset,
    /// A head that never ends (CVE-2024-27316).
    Continuation,
    EmptyData,
    Settings,
    Ping,
    WindowUpdate,
    Priority,
    /// A small head that unpacks to a large one, again and again.
    Hpack,
    /// More requests at a time than are allowed.
    Streams,
}

/// HPACK (RFC 7541 §6): a method and a path of the static table, `https`, and the authority as a literal.
fn block(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x87];
    block.extend(literal(4, path.as_bytes()));
    block.extend(literal(1, b"localhost"));
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// A field that is not indexed, its name from the static table; the value under 127 bytes.
fn literal(name: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![name, u8::try_from(value.len()).unwrap_or(0)];
    field.extend(value);
    field
}

/// A field that is not indexed.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = literal(0, name);
    field.extend([u8::try_from(value.len()).unwrap_or(0)]);
    field.extend(value);
    field
}

/// The stream of a flood's `number`th request; the first stream is another's.
fn nth(number: usize) -> u32 {
    u32::try_from(number * 2 + 3).unwrap_or(1)
}

/// A path that says which flood it is of.
fn marked(path: &str, mark: usize) -> String {
    format!("{path}?{mark}")
}

/// A request without a body.
pub(crate) fn get(stream: u32, end: bool) -> Vec<u8> {
    get_with(stream, "/", &[], end)
}

/// A request with further fields, and perhaps with more to come.
pub(crate) fn get_with(stream: u32, path: &str, fields: &[u8], end: bool) -> Vec<u8> {
    let block = [block(GET, path), fields.to_vec()].concat();
    frame(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block)
}

impl Flood {
    /// What comes once, before the flood `mark`.
    fn first(self, mark: usize) -> Vec<u8> {
        match self {
            Self::Continuation => frame(HEADERS, END_STREAM, 1, &block(GET, &marked("/", mark))),
            Self::EmptyData => frame(HEADERS, END_HEADERS, 1, &block(POST, &marked("/", mark))),
            // A large field into the table: name and value are literals, and indexed.
            Self::Hpack => {
                let value = [b'x'; 3900];
                // 3900 = 127 + 3773, and 3773 in groups of seven bits (RFC 7541 §5.1).
                let entry = [&[0x40, 1, b'x', 0x7f, 0xbd, 0x1d][..], &value].concat();
                get_with(1, &marked("/", mark), &entry, true)
            }
            _ => Vec::new(),
        }
    }

    /// The `number`th of many.
    fn next(self, number: usize, mark: usize) -> Vec<u8> {
        let stream = nth(number);
        let get = |path, fields| get_with(stream, &marked(path, mark), fields, true);
        let reset = |stream| frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        match self {
            Self::RapidReset => [get("/", &[]), reset(stream)].concat(),
            // The one that went out as long ago as it is asked after.
            Self::LateReset => match number.checked_sub(AT_ONCE) {
                Some(before) => [get("/slow", &[]), reset(nth(before))].concat(),
                None => get("/slow", &[]),
            },
            // More of a window than there can be (RFC 9113 §6.9.1).
            Self::MadeYouReset => {
                let window = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
                [get("/slow", &[]), window].concat()
            }
            Self::Continuation => frame(CONTINUATION, 0, 1, &field(b"a", b"b")),
            Self::EmptyData => frame(DATA, 0, 1, &[]),
            Self::Settings => frame(SETTINGS, 0, 0, &[]),
            Self::Ping => frame(PING, 0, 0, &[0; 8]),
            Self::WindowUpdate => frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()),
            Self::Priority => frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 16]),
            // The large field by its number in the table, a thousand times.
            Self::Hpack => get("/", &[0xbe; 1000]),
            Self::Streams => get("/slow", &[]),
        }
    }
}

/// Floods on connections of their own.
pub(crate) async fn run(flood: Flood, gate: &Gate) -> Result<Ended> {
    let address = gate.public;
    let sent = again(move |mark| one(flood, address, mark)).await?;
    let (floods, most) = (sent.len(), sent.into_iter().max().unwrap_or_default());
    Ok(Ended {
        words: format!("GOAWAY, {floods} of {floods}, after {most} frames at most"),
        times: i64::try_from(floods)?,
    })
}

/// Sends until it is stopped, which has to be said. How many frames that were, the last few of which may not have been taken:
/// no more is on its way at a time than goes out between a PING and its answer.
async fn one(flood: Flood, address: SocketAddr, mark: usize) -> Result<usize> {
    let mut io = connect(address, H2).await?;
    io.write_all(PREFACE).await?;
    let (began, mut said) = (Instant::now(), BytesMut::new());
    let (mut sent, mut frames) = (1, flood.first(mark));
    for batch in 0.. {
        frames.extend((batch * AT_ONCE..(batch + 1) * AT_ONCE).flat_map(|number| flood.next(number, mark)));
        // None that a flood of PING has.
        let question = (u64::MAX - u64::try_from(batch)?).to_be_bytes();
        // A head must not be interrupted.
        let asked = !matches!(flood, Flood::Continuation);
        if asked {
            frames.extend(frame(PING, 0, 0, &question));
        }
        sent += count(&frames);
        // The end of it is read, not written.
        let _ = io.write_all(&frames).await;
        let _ = io.flush().await;
        let patience = if asked { PATIENCE } else { UNASKED };
        match timeout(patience, heard(&mut io, &mut said, &question)).await {
            Ok(heard) => {
                if let Some(code) = heard? {
                    ensure!(code == ENHANCE_YOUR_CALM, "GOAWAY with code {code}");
                    until_the_end(io).await.context("left open")?;
                    return Ok(sent);
                }
            }
            Err(_) => ensure!(!asked, "after {sent} frames, nothing is answered"),
        }
        let taken = TAKEN + began.elapsed().as_secs_f64() * EARNED;
        ensure!(f64::from(u32::try_from(sent)?) <= taken, "{sent} frames were taken, and nobody ended it");
        frames.clear();
    }
    Ok(sent)
}

/// Reads until the question is answered, or a GOAWAY comes: that one's code.
async fn heard(io: &mut (impl AsyncRead + Unpin), said: &mut BytesMut, question: &[u8]) -> Result<Option<u32>> {
    loop {
        while let Some(Frame { kind, flags, payload }) = next_frame(said) {
            match (kind, &*payload) {
                (GOAWAY, [_, _, _, _, code @ ..]) => {
                    let code = code.first_chunk().context("a short GOAWAY")?;
                    return Ok(Some(u32::from_be_bytes(*code)));
                }
                (PING, answer) if flags & ACK != 0 && answer == question => return Ok(None),
                _ => {}
            }
        }
        let read = io.read_buf(said).await;
        ensure!(read.is_ok_and(|read| read > 0), "closed without a GOAWAY");
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    payload: Bytes,
}

/// Takes a frame, if all of it is there.
fn next_frame(bytes: &mut BytesMut) -> Option<Frame> {
    let [a, b, c, kind, flags, ..] = **bytes else { return None };
    let end = 9 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
    let payload = (bytes.len() >= end).then(|| bytes.split_to(end).freeze().slice(9..))?;
    Some(Frame { kind, flags, payload })
}

/// How many frames these are.
fn count(frames: &[u8]) -> usize {
    let mut frames = BytesMut::from(frames);
    std::iter::from_fn(|| next_frame(&mut frames)).count()
}
