//! The heads of requests and answers (RFC 9112 §2 to §5).

use std::mem::MaybeUninit;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as _;

use super::{Fault, Head};
use crate::base::body::Body;
use crate::base::h1::fields::{self, put};
use crate::base::h1::sending::{Framing, Sending};

/// Header fields of an answer.
const MAX_FIELDS: usize = 128;
/// Digits of a length.
const DIGITS: usize = 20;

/// A request on its way out, and what of it its answer is read by.
#[derive(Debug)]
pub struct Outgoing {
    pub(super) sending: Sending,
    /// Whether it is a HEAD, whose answer has no body.
    pub(super) to_head: bool,
}

impl Outgoing {
    /// This request, for this host unless it names one itself. How its length is told is for its body to say.
    #[must_use]
    pub fn new(host: &str, request: Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let framing = match body.size_hint().exact() {
            Some(0) => Framing::None,
            Some(length) => Framing::Counted(length),
            None => Framing::Chunked,
        };
        let promised = parts.headers.get_all(TRAILER).iter().cloned().collect();
        let sending = Sending::new(encode(host, &parts, framing), framing, body, promised);
        Self { sending, to_head: parts.method == Method::HEAD }
    }
}

/// A request's head.
fn encode(host: &str, request: &Parts, framing: Framing) -> Bytes {
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let fields = fields::length(&request.headers);
    let method = request.method.as_str();
    let mut head = BytesMut::with_capacity(method.len() + target.len() + host.len() + fields + 64 + DIGITS);
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        head.put_slice(part.as_bytes());
    }
    if !request.headers.contains_key(HOST) {
        put(&mut head, &HOST, host.as_bytes());
    }
    for (name, value) in &request.headers {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            put(&mut head, name, value.as_bytes());
        }
    }
    match framing {
        Framing::Counted(length) => {
            put(&mut head, &CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
        }
        Framing::Chunked => put(&mut head, &TRANSFER_ENCODING, b"chunked"),
        // RFC 9110 §8.6.
        Framing::None if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            put(&mut head, &CONTENT_LENGTH, b"0");
        }
        Framing::None | Framing::UntilClose => {}
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

/// How far the end of a head has been looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Bytes that were looked at.
    seen: usize,
    /// Where the line begins.
    line: usize,
}

impl Scan {
    /// The length of the head, once it is complete. Lines end with CR LF and nothing else (RFC 9112 §2.2).
    pub(super) fn end(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some(at) = input.get(self.seen..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let at = self.seen + at;
            self.seen = at + 1;
            match input.get(self.line..at) {
                Some([b'\r']) => return Ok(Some(self.seen)),
                Some([.., b'\r']) => self.line = self.seen,
                _ => return Err(Fault::Head("a line does not end with CR LF")),
            }
        }
        self.seen = input.len();
        Ok(None)
    }
}

/// An answer's head as it was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) head: Head,
    /// HTTP/1.0.
    pub(super) is_old: bool,
    /// The connection ends with this answer.
    pub(super) is_last: bool,
}

/// Takes a complete head from `input`.
///
/// # Errors
/// [`Fault::Head`].
pub(super) fn parse(input: &mut Bytes, scan: &mut Scan) -> Result<Option<Parsed>, Fault> {
    let Some(end) = scan.end(input)? else { return Ok(None) };
    *scan = Scan::default();
    // Not the buffer it was read to, which would be held as long as any of its fields.
    let head = Bytes::copy_from_slice(&input.split_to(end));
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let complete = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut answer, &head, &mut fields)
        .map_err(|error| Fault::Head(fields::words(error)))?;
    if complete != httparse::Status::Complete(end) {
        return Err(Fault::Head("it ends within itself"));
    }
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| status.as_u16() < 600).ok_or(Fault::Head("its status is none"))?;
    let headers = fields::collect(&head, answer.headers).map_err(Fault::Head)?;
    let is_old = answer.version == Some(0);
    // RFC 9112 §9.6.
    let is_last = is_old || fields::names(headers.get_all(CONNECTION), b"close");
    Ok(Some(Parsed { head: Head { status, headers }, is_old, is_last }))
}
