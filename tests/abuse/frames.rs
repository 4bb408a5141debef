//! HTTP/2 frames, written byte for byte, in numbers that nobody needs.

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt as _;

use crate::Size;
use crate::client::{H2, connect, until_the_end};
use crate::gate::Gate;
use crate::support::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame,
};

/// Frames that go out in one write.
const AT_ONCE: usize = 10;

/// What there is too much of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flood {
    /// Streams opened and taken back (CVE-2023-44487).
    RapidReset,
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
    /// What comes once, before the flood.
    fn first(self) -> Vec<u8> {
        match self {
            Self::Continuation => frame(HEADERS, END_STREAM, 1, &block(GET, "/")),
            Self::EmptyData => frame(HEADERS, END_HEADERS, 1, &block(POST, "/")),
            // A large field into the table: name and value are literals, and indexed.
            Self::Hpack => {
                let value = [b'x'; 3900];
                // 3900 = 127 + 3773, and 3773 in groups of seven bits (RFC 7541 §5.1).
                let entry = [&[0x40, 1, b'x', 0x7f, 0xbd, 0x1d][..], &value].concat();
                get_with(1, "/", &entry, true)
            }
            _ => Vec::new(),
        }
    }

    /// The `number`th of many.
    fn next(self, number: usize) -> Vec<u8> {
        let stream = u32::try_from(number * 2 + 3).unwrap_or(1);
        match self {
            Self::RapidReset => [get(stream, true), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat(),
            // More of a window than there can be (RFC 9113 §6.9.1).
            Self::MadeYouReset => {
                let window = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
                [get_with(stream, "/slow", &[], true), window].concat()
            }
            Self::Continuation => frame(CONTINUATION, 0, 1, &field(b"a", b"b")),
            Self::EmptyData => frame(DATA, 0, 1, &[]),
            Self::Settings => frame(SETTINGS, 0, 0, &[]),
            Self::Ping => frame(PING, 0, 0, &[0; 8]),
            Self::WindowUpdate => frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()),
            Self::Priority => frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 16]),
            // The large field by its number in the table, a thousand times.
            Self::Hpack => get_with(stream, "/", &[0xbe; 1000], true),
            Self::Streams => get_with(stream, "/slow", &[], true),
        }
    }
}

/// Sends until it is stopped. How that was, and how much the client had written when it noticed: more than was read.
pub(crate) async fn run(flood: Flood, gate: &Gate, size: Size) -> Result<String> {
    let (reader, mut writer) = tokio::io::split(connect(gate.public, H2).await?);
    let reading = tokio::spawn(until_the_end(reader));
    writer.write_all(&[PREFACE, &flood.first()].concat()).await?;
    writer.flush().await?;
    // These are answered, each on its own; the connection may live.
    let enough = match flood {
        Flood::Hpack => 20,
        Flood::Streams => 300,
        _ => size.frames,
    };
    let mut sent = 0;
    while sent < enough && !reading.is_finished() {
        let frames: Vec<u8> = (sent..sent + AT_ONCE).flat_map(|number| flood.next(number)).collect();
        // The end of it is read, not written.
        let written = async { writer.write_all(&frames).await.is_ok() && writer.flush().await.is_ok() };
        if !written.await {
            break;
        }
        sent += AT_ONCE;
        tokio::task::yield_now().await;
    }
    let lives = matches!(flood, Flood::Streams);
    ensure!(lives || sent < enough || matches!(flood, Flood::Hpack), "{sent} frames, and nobody ended it");
    let answers = reading.await?.context("left open")?;
    drop(writer);
    let farewell = if has_goaway(&answers) { "GOAWAY" } else { "closed" };
    Ok(format!("{farewell}; {sent} were on their way"))
}

/// Whether a server's frames have a GOAWAY among them.
fn has_goaway(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        if *kind == GOAWAY {
            return true;
        }
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        bytes = rest.get(length..).unwrap_or_default();
    }
    false
}
