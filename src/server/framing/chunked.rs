//! The chunked coding (RFC 9112 §7.1).

use std::slice::Iter;

use super::Event;
use super::fields::Fields;
use super::scan::{is_control, is_token, take};
use crate::telemetry::labels::Fault;

/// Digits of a chunk's size; one more could be more than a signed number of 64 bits.
const SIZE_DIGITS: u8 = 15;
/// Bytes of one chunk's extensions, which mean nothing to a registry.
const EXTENSION_BYTES: u16 = 256;

/// How far a chunked body has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    at: At,
    /// What is left of the chunk.
    size: u64,
    /// Bytes of its extensions so far.
    extension: u16,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Behind so many digits.
    Size(u8),
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// Where in `;name=value` (RFC 9112 §7.1.1). White space between its parts is what recipients disagree about.
#[derive(Clone, Copy, Debug)]
enum Extension {
    /// Behind the semicolon.
    Begun,
    Name,
    /// Behind the equals sign.
    Equals,
    Value,
    Quoted,
    Escaped,
    Unquoted,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { at: At::Size(0), size: 0, extension: 0 }
    }

    /// Takes bytes until there is something to tell: content, the beginning of the trailers, or the body's end.
    pub(super) fn advance(&mut self, rest: &mut Iter<'_, u8>, fields: &mut Fields) -> Result<Option<Event>, Fault> {
        loop {
            if matches!(self.at, At::Trailers) {
                return Ok(fields.advance(rest, true)?.then_some(Event::End));
            }
            if matches!(self.at, At::Data) && !rest.as_slice().is_empty() {
                let taken = take(rest, self.size);
                self.size -= taken;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                return Ok(Some(Event::Data(taken)));
            }
            let Some(&byte) = rest.next() else { return Ok(None) };
            self.at = match (self.at, byte) {
                (At::Size(digits), byte) => self.digit(digits, byte)?,
                (At::Extension(extension), byte) => self.extension(extension, byte)?,
                (At::SizeLf, b'\n') if self.size > 0 => At::Data,
                (At::SizeLf, b'\n') => {
                    fields.begin_trailers();
                    self.at = At::Trailers;
                    return Ok(Some(Event::Trailers));
                }
                (At::DataCr, b'\r') => At::DataLf,
                (At::DataLf, b'\n') => Self::new().at,
                (At::SizeLf, _) => return Err(Fault::LineEnding),
                (At::DataCr | At::DataLf | At::Data | At::Trailers, _) => return Err(Fault::ChunkEnd),
            };
        }
    }

    fn digit(&mut self, digits: u8, byte: u8) -> Result<At, Fault> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if digits > 0 => {
                self.extension = 0;
                return Ok(At::Extension(Extension::Begun));
            }
            b'\r' if digits > 0 => return Ok(At::SizeLf),
            b'\n' => return Err(Fault::LineEnding),
            _ => return Err(Fault::ChunkSize),
        };
        if digits == SIZE_DIGITS {
            return Err(Fault::ChunkSize);
        }
        self.size = self.size * 16 + u64::from(value);
        Ok(At::Size(digits + 1))
    }

    fn extension(&mut self, at: Extension, byte: u8) -> Result<At, Fault> {
        self.extension += 1;
        if self.extension > EXTENSION_BYTES {
            return Err(Fault::ChunkExtension);
        }
        let next = match (at, byte) {
            (Extension::Quoted, b'"') => Extension::Unquoted,
            (Extension::Quoted, b'\\') => Extension::Escaped,
            (Extension::Quoted | Extension::Escaped, byte) if !is_control(byte) => Extension::Quoted,
            (_, b'\n') => return Err(Fault::LineEnding),
            (Extension::Begun | Extension::Name, byte) if is_token(byte) => Extension::Name,
            (Extension::Name, b'=') => Extension::Equals,
            (Extension::Equals, b'"') => Extension::Quoted,
            (Extension::Equals | Extension::Value, byte) if is_token(byte) => Extension::Value,
            (Extension::Name | Extension::Value | Extension::Unquoted, b';') => Extension::Begun,
            (Extension::Name | Extension::Value | Extension::Unquoted, b'\r') => return Ok(At::SizeLf),
            _ => return Err(Fault::ChunkExtension),
        };
        Ok(At::Extension(next))
    }
}
