//! Field lines, of a head or of trailers (RFC 9112 §5), and what they say about the message's length (§6).

use std::slice::Iter;

use super::Length;
use super::scan::{is_control, is_token, skip};
use crate::telemetry::labels::Fault;

/// Bytes kept of a field's name: as many as the longest one that is looked for has.
const NAME: usize = 19;
/// The largest Content-Length: nineteen digits are always a number of 64 bits.
const LENGTH_DIGITS: u8 = 19;
/// The only transfer coding.
const CHUNKED: &[u8] = b"chunked";

/// How far a field section has been read, and what it said so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    at: At,
    name: [u8; NAME],
    length: usize,
    content_length: Option<u64>,
    chunked: bool,
    /// Whether it asks for another protocol.
    pub(super) upgrade: bool,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Before the first line.
    First,
    /// At the beginning of another.
    Line,
    Name,
    /// In a value nobody here reads.
    Value,
    /// In a Content-Length, behind so many digits.
    Number(u8),
    /// Behind its last digit.
    Counted,
    /// In a Transfer-Encoding, behind so many bytes of `chunked`.
    Coding(usize),
    /// Behind the CR of a line.
    Lf,
    /// Behind the CR of the empty line.
    End,
}

impl Fields {
    pub(super) fn new() -> Self {
        let (at, name) = (At::First, [0; NAME]);
        Self { at, name, length: 0, content_length: None, chunked: false, upgrade: false }
    }

    /// Begins the trailers of the same message, about which its head has said all.
    pub(super) fn begin_trailers(&mut self) {
        self.at = At::First;
    }

    /// Whether the section is complete, its empty line included.
    pub(super) fn advance(&mut self, rest: &mut Iter<'_, u8>, trailers: bool) -> Result<bool, Fault> {
        loop {
            if matches!(self.at, At::Value) {
                skip(rest, is_control);
            }
            let Some(&byte) = rest.next() else { return Ok(false) };
            self.at = match (self.at, byte) {
                (At::First | At::Line, b'\r') => At::End,
                (At::First | At::Line, byte) if is_token(byte) => {
                    self.length = 0;
                    self.keep(byte)
                }
                (At::Line, b' ' | b'\t') => return Err(Fault::Fold),
                (At::First | At::Line | At::Name, b'\n') => return Err(Fault::LineEnding),
                (At::Name, b':') => self.named(trailers)?,
                (At::Name, byte) if is_token(byte) => self.keep(byte),
                (At::First | At::Line | At::Name, _) => return Err(Fault::FieldName),
                (At::Value, b'\r') => At::Lf,
                (At::Value, b'\n') => return Err(Fault::LineEnding),
                (At::Value, _) => return Err(Fault::FieldValue),
                (At::Number(digits), byte) => self.number(digits, byte)?,
                (At::Counted, b' ' | b'\t') => At::Counted,
                (At::Counted, b'\r') => At::Lf,
                (At::Counted, _) => return Err(Fault::ContentLength),
                (At::Coding(at), byte) => self.coding(at, byte)?,
                (At::Lf, b'\n') => At::Line,
                (At::End, b'\n') => return Ok(true),
                (At::Lf | At::End, _) => return Err(Fault::LineEnding),
            };
        }
    }

    /// What a complete head says about the body's length (RFC 9112 §6.3).
    pub(super) fn length(&self, old: bool) -> Result<Length, Fault> {
        match (self.chunked, self.content_length) {
            (true, _) if old => Err(Fault::OldTransferEncoding),
            (true, Some(_)) => Err(Fault::TwoLengths),
            (true, None) => Ok(Length::Chunked),
            (false, length) => Ok(Length::Counted(length.unwrap_or(0))),
        }
    }

    fn keep(&mut self, byte: u8) -> At {
        if let Some(kept) = self.name.get_mut(self.length) {
            *kept = byte.to_ascii_lowercase();
        }
        self.length = self.length.saturating_add(1);
        At::Name
    }

    /// At the colon: how its value is read.
    fn named(&mut self, trailers: bool) -> Result<At, Fault> {
        // A longer name is none of those that are looked for.
        let name = self.name.get(..self.length).unwrap_or_default();
        if trailers {
            return if is_no_trailer(name) { Err(Fault::Trailer) } else { Ok(At::Value) };
        }
        match name {
            b"content-length" if self.content_length.is_some() => Err(Fault::ContentLengths),
            b"content-length" => Ok(At::Number(0)),
            b"transfer-encoding" if self.chunked => Err(Fault::TransferEncoding),
            b"transfer-encoding" => Ok(At::Coding(0)),
            b"upgrade" => {
                self.upgrade = true;
                Ok(At::Value)
            }
            _ => Ok(At::Value),
        }
    }

    fn number(&mut self, digits: u8, byte: u8) -> Result<At, Fault> {
        match byte {
            b'0'..=b'9' if digits < LENGTH_DIGITS => {
                let number = self.content_length.unwrap_or(0);
                self.content_length = Some(number.saturating_mul(10).saturating_add(u64::from(byte - b'0')));
                Ok(At::Number(digits + 1))
            }
            b' ' | b'\t' if digits == 0 => Ok(At::Number(0)),
            b' ' | b'\t' => Ok(At::Counted),
            b'\r' if digits > 0 => Ok(At::Lf),
            b',' => Err(Fault::ContentLengths),
            _ => Err(Fault::ContentLength),
        }
    }

    fn coding(&mut self, at: usize, byte: u8) -> Result<At, Fault> {
        match (CHUNKED.get(at), byte) {
            (Some(expected), byte) if byte.eq_ignore_ascii_case(expected) => Ok(At::Coding(at + 1)),
            (Some(_), b' ' | b'\t') if at == 0 => Ok(At::Coding(0)),
            (None, b' ' | b'\t') => Ok(At::Coding(at)),
            (None, b'\r') => {
                self.chunked = true;
                Ok(At::Lf)
            }
            _ => Err(Fault::TransferEncoding),
        }
    }
}

/// What must not stand behind a body (RFC 9110 §6.5.1): whoever merges trailers into the head would read another
/// request.
fn is_no_trailer(name: &[u8]) -> bool {
    matches!(
        name,
        b"authorization"
            | b"connection"
            | b"content-encoding"
            | b"content-length"
            | b"content-range"
            | b"content-type"
            | b"cookie"
            | b"expect"
            | b"host"
            | b"keep-alive"
            | b"proxy-authorization"
            | b"range"
            | b"te"
            | b"trailer"
            | b"transfer-encoding"
            | b"upgrade"
    )
}
