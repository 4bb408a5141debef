//! The heads of requests and answers (RFC 9112 §2 to §5).

use std::mem::MaybeUninit;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, StatusCode};

use super::sending::Framing;
use super::{Fault, Head};

/// Header fields of an answer.
const MAX_FIELDS: usize = 128;
/// Trailer fields of an answer.
const MAX_TRAILERS: usize = 16;
/// Digits of a length.
const DIGITS: usize = 20;
/// What must be known before a body is read, and so never comes behind it.
const NEVER_BEHIND: [HeaderName; 8] =
    [AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

/// A request's head.
pub(super) fn encode(host: &str, request: &Parts, framing: Framing) -> Bytes {
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let fields: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let method = request.method.as_str();
    let mut head = BytesMut::with_capacity(method.len() + target.len() + host.len() + fields + 64 + DIGITS);
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        head.put_slice(part.as_bytes());
    }
    if !request.headers.contains_key(HOST) {
        field(&mut head, &HOST, host.as_bytes());
    }
    for (name, value) in &request.headers {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            field(&mut head, name, value.as_bytes());
        }
    }
    match framing {
        Framing::Counted(length) => {
            field(&mut head, &CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
        }
        Framing::Chunked => field(&mut head, &TRANSFER_ENCODING, b"chunked"),
        // RFC 9110 §8.6.
        Framing::None if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            field(&mut head, &CONTENT_LENGTH, b"0");
        }
        Framing::None => {}
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

/// The last chunk, and those of the trailers that the request's head promised and that are no part of its framing, its
/// routing or its authority (RFC 9110 §6.5.1).
pub(super) fn encode_end(promised: &[HeaderValue], trailers: &HeaderMap) -> Bytes {
    let mut end = BytesMut::from(&b"0\r\n"[..]);
    for (name, value) in trailers {
        if names(promised, name.as_str().as_bytes()) && !NEVER_BEHIND.contains(name) {
            field(&mut end, name, value.as_bytes());
        }
    }
    end.put_slice(b"\r\n");
    end.freeze()
}

fn field(head: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        head.put_slice(part);
    }
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
pub(super) fn parse(input: &mut BytesMut, scan: &mut Scan) -> Result<Option<Parsed>, Fault> {
    let Some(end) = scan.end(input)? else { return Ok(None) };
    *scan = Scan::default();
    let head = input.split_to(end).freeze();
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let complete = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut answer, &head, &mut fields)
        .map_err(|error| Fault::Head(words(error)))?;
    if complete != httparse::Status::Complete(end) {
        return Err(Fault::Head("it ends within itself"));
    }
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| status.as_u16() < 600).ok_or(Fault::Head("its status is none"))?;
    let headers = collect(&head, answer.headers)?;
    let is_old = answer.version == Some(0);
    // RFC 9112 §9.6.
    let is_last = is_old || names(headers.get_all(CONNECTION), b"close");
    Ok(Some(Parsed { head: Head { status, headers }, is_old, is_last }))
}

/// Trailer fields, and the empty line behind them.
///
/// # Errors
/// [`Fault::Head`].
pub(super) fn fields(lines: &Bytes) -> Result<HeaderMap, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    match httparse::parse_headers(lines, &mut fields) {
        Ok(httparse::Status::Complete((end, fields))) if end == lines.len() => collect(lines, fields),
        Ok(_) => Err(Fault::Head("it ends within itself")),
        Err(error) => Err(Fault::Head(words(error))),
    }
}

fn collect(text: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::Head("a field's name is none"))?;
        let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value));
        headers.append(name, value.map_err(|_| Fault::Head("a field's value is none"))?);
    }
    Ok(headers)
}

/// Whether a list of names, in one field or several, has this one.
fn names<'a>(list: impl IntoIterator<Item = &'a HeaderValue>, name: &[u8]) -> bool {
    let has = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(name))
    };
    list.into_iter().any(has)
}

fn words(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a field's name is none",
        httparse::Error::HeaderValue => "a field's value is none",
        httparse::Error::NewLine => "a line does not end with CR LF",
        httparse::Error::Status => "its status is none",
        httparse::Error::Token => "a character stands where none may",
        httparse::Error::TooManyHeaders => "it has too many fields",
        httparse::Error::Version => "its version is not HTTP/1",
    }
}
