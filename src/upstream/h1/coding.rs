//! How long an answer's body is, and its chunks (RFC 9112 §6 and §7).

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http_body::Frame;

use super::head::Scan;
use super::{Fault, Head, TwoLengths};
use crate::base::h1::fields;

/// Digits of a chunk's size; one more could be more than a signed number of 64 bits.
const SIZE_DIGITS: usize = 15;
/// Bytes of a chunk's size and its extensions.
const MAX_LINE: usize = 1024;
/// Bytes of all trailers.
const MAX_TRAILERS: usize = 8 * 1024;

/// What of an answer's body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// This many bytes.
    Counted(u64),
    /// Chunks.
    Chunked(Chunks),
    /// All until the connection ends.
    UntilClose,
    /// Nothing.
    Over,
}

/// Where among the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before a chunk's size.
    Size,
    /// In a chunk with this much left.
    Data(u64),
    /// Behind its last byte.
    End,
    /// Behind the last chunk's size.
    Trailers,
}

impl Chunks {
    /// Where the line ends, or the lines that are read as one.
    fn end(self, input: &[u8]) -> Result<Option<usize>, Fault> {
        let (end, most) = match self {
            Self::Trailers => (Scan::default().end(input)?, MAX_TRAILERS),
            _ => (memchr::memchr(b'\n', input.get(..MAX_LINE).unwrap_or(input)).map(|at| at + 1), MAX_LINE),
        };
        match end {
            None if input.len() >= most => Err(Fault::Chunk("a line is too long")),
            end => Ok(end),
        }
    }
}

impl Coding {
    /// What follows this head.
    ///
    /// # Errors
    /// [`TwoLengths`], for an answer without a body too: the field would go on to the client.
    pub(super) fn of(head: &Head, is_old: bool, to_head: bool) -> Result<Self, TwoLengths> {
        let told = told(&head.headers)?;
        let status = head.status;
        let is_empty =
            to_head || status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match told {
            // A chunked answer to HTTP/1.1 by a server that does not speak it (RFC 9112 §6.1).
            Coding::Chunked(_) if is_old => Err(TwoLengths),
            _ if is_empty => Ok(Self::Over),
            Coding::Counted(0) => Ok(Self::Over),
            told => Ok(told),
        }
    }

    pub(super) fn is_over(self) -> bool {
        self == Self::Over
    }

    /// Takes the next part of the body from `input`; `None` when more must be read, or it is over.
    ///
    /// # Errors
    /// [`Fault::Chunk`].
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Frame<Bytes>>, Fault> {
        match self {
            Self::Over => Ok(None),
            Self::UntilClose => Ok((!input.is_empty()).then(|| Frame::data(std::mem::take(input)))),
            Self::Counted(left) => {
                let data = take(input, left);
                if *left == 0 {
                    *self = Self::Over;
                }
                Ok(data)
            }
            Self::Chunked(chunks) => loop {
                if let Chunks::Data(left) = chunks {
                    let data = take(input, left);
                    if *left == 0 {
                        *chunks = Chunks::End;
                    }
                    return Ok(data);
                }
                let Some(end) = chunks.end(input)? else { return Ok(None) };
                let lines = input.split_to(end);
                *chunks = match (*chunks, &*lines) {
                    (Chunks::End, b"\r\n") => Chunks::Size,
                    (Chunks::Size, [line @ .., b'\r', b'\n']) => match size(line)? {
                        0 => Chunks::Trailers,
                        size => Chunks::Data(size),
                    },
                    (Chunks::Trailers, _) => {
                        *self = Self::Over;
                        let trailers = fields::trailers(&lines).map_err(Fault::Head)?;
                        return Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)));
                    }
                    _ => return Err(Fault::Chunk("a chunk is longer than its size")),
                };
            },
        }
    }
}

fn take(input: &mut Bytes, left: &mut u64) -> Option<Frame<Bytes>> {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= taken as u64;
    (taken > 0).then(|| Frame::data(input.split_to(taken)))
}

/// A chunk's size; its extensions mean nothing here.
fn size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let is_extension = matches!(rest, [] | [b';', ..]) && rest.iter().all(|byte| (b' '..=b'~').contains(byte));
    if !(1..=SIZE_DIGITS).contains(&digits.len()) || !is_extension {
        return Err(Fault::Chunk("a chunk's size is none"));
    }
    Ok(digits
        .iter()
        .filter_map(|digit| char::from(*digit).to_digit(16))
        .fold(0, |sum, digit| sum * 16 + u64::from(digit)))
}

/// How a head tells its body's length: once, or the parser would take one way of several, and the field that it did not
/// take would go to the client beside a body that is not of this length.
fn told(headers: &HeaderMap) -> Result<Coding, TwoLengths> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Coding::UntilClose),
        (None, Some(length)) if lengths.next().is_none() => number(length).map(Coding::Counted).ok_or(TwoLengths),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Ok(Coding::Chunked(Chunks::Size))
        }
        _ => Err(TwoLengths),
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}
