//! The request line (RFC 9112 §3), and the one empty line that may stand before it (§2.2).

use std::slice::Iter;

use super::scan::{is_token, skip};
use crate::base::h1::target::{is_outside_path, is_outside_query};
use crate::telemetry::labels::Fault;

/// Bytes of a method. The longest registered one, UPDATEREDIRECTREF, has as many.
const METHOD: usize = 17;
/// Bytes of a target by which its scheme is known.
const PREFIX: usize = 8;

/// How far a request line has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartLine {
    at: At,
    method: [u8; METHOD],
    length: usize,
    prefix: [u8; PREFIX],
    target: usize,
    minor: u8,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Nothing has come.
    Nothing,
    /// The CR of an empty line has.
    BlankCr,
    /// An empty line has.
    Blank,
    Method,
    Path,
    Query,
    /// So many bytes of the version.
    Version(usize),
    Cr,
    Lf,
}

impl StartLine {
    pub(super) fn new() -> Self {
        Self { at: At::Nothing, method: [0; METHOD], length: 0, prefix: [0; PREFIX], target: 0, minor: 0 }
    }

    /// Whether it is HTTP/1.0.
    pub(super) fn is_old(&self) -> bool {
        self.minor == b'0'
    }

    pub(super) fn is_connect(&self) -> bool {
        self.method() == b"CONNECT"
    }

    fn method(&self) -> &[u8] {
        self.method.get(..self.length).unwrap_or_default()
    }

    /// Whether the line is complete.
    pub(super) fn advance(&mut self, rest: &mut Iter<'_, u8>) -> Result<bool, Fault> {
        loop {
            if matches!(self.at, At::Path | At::Query) {
                self.skim(rest);
            }
            let Some(&byte) = rest.next() else { return Ok(false) };
            self.at = match (self.at, byte) {
                (At::Nothing, b'\r') => At::BlankCr,
                (At::BlankCr, b'\n') => At::Blank,
                (At::Blank, b'\r' | b'\n') => return Err(Fault::BlankLine),
                (At::Nothing | At::Blank | At::Method, byte) if is_token(byte) => self.name(byte)?,
                (At::Method, b' ') => At::Path,
                (At::Path, b'?') => At::Query,
                (At::Path | At::Query, b' ') if self.is_target() => At::Version(0),
                (At::Path | At::Query, b'\r' | b'\n') => return Err(Fault::Version),
                (At::Path | At::Query, _) => return Err(Fault::Target),
                (At::Version(at), byte) => self.version(at, byte)?,
                (At::Cr, b'\r') => At::Lf,
                (At::Lf, b'\n') => return Ok(true),
                (At::Cr, b'\n') | (At::BlankCr | At::Lf, _) | (At::Nothing, b'\n') => return Err(Fault::LineEnding),
                (At::Cr, _) => return Err(Fault::Version),
                (At::Nothing | At::Blank | At::Method, _) => return Err(Fault::Method),
            };
        }
    }

    fn name(&mut self, byte: u8) -> Result<At, Fault> {
        *self.method.get_mut(self.length).ok_or(Fault::Method)? = byte;
        self.length += 1;
        Ok(At::Method)
    }

    /// Takes what may stand in a target, and keeps its beginning.
    fn skim(&mut self, rest: &mut Iter<'_, u8>) {
        let before = rest.as_slice();
        if matches!(self.at, At::Path) {
            skip(rest, is_outside_path);
        } else {
            skip(rest, is_outside_query);
        }
        let taken = before.len() - rest.len();
        let room = self.prefix.iter_mut().skip(self.target);
        for (to, from) in room.zip(before.iter().take(taken)) {
            *to = from.to_ascii_lowercase();
        }
        self.target = self.target.saturating_add(taken);
    }

    /// Whether the target has a form that the method may have (RFC 9112 §3.2). Which host an absolute one may name is
    /// not a matter of framing.
    fn is_target(&self) -> bool {
        let prefix = self.prefix.get(..self.target.min(PREFIX)).unwrap_or_default();
        match prefix {
            [] => false,
            _ if self.is_connect() => !prefix.starts_with(b"/"),
            [b'/', ..] => true,
            [b'*'] => self.method() == b"OPTIONS",
            _ => prefix.starts_with(b"http://") || prefix == b"https://",
        }
    }

    fn version(&mut self, at: usize, byte: u8) -> Result<At, Fault> {
        match (b"HTTP/1.".get(at), byte) {
            (Some(expected), byte) if byte == *expected => Ok(At::Version(at + 1)),
            (None, b'0' | b'1') => {
                self.minor = byte;
                Ok(At::Cr)
            }
            _ => Err(Fault::Version),
        }
    }
}
