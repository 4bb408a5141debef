//! Field lines (RFC 9112 §5), read and written.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, TRANSFER_ENCODING,
};

/// Trailer fields of a message.
const MAX_TRAILERS: usize = 16;
/// What must be known before a body is read, and so never comes behind it.
const NEVER_BEHIND: [HeaderName; 8] =
    [AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

/// Writes a line.
pub fn put(head: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        head.put_slice(part);
    }
}

/// How many bytes these lines take.
#[must_use]
pub fn length(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The last chunk, and those of the trailers that the message's head promised and that are no part of its framing, its
/// routing or its authority (RFC 9110 §6.5.1).
pub(super) fn last_chunk(promised: &[HeaderValue], trailers: &HeaderMap) -> Bytes {
    let mut end = BytesMut::from(&b"0\r\n"[..]);
    for (name, value) in trailers {
        if names(promised, name.as_str().as_bytes()) && may_come_behind(name) {
            put(&mut end, name, value.as_bytes());
        }
    }
    end.put_slice(b"\r\n");
    end.freeze()
}

/// Whether a field can be known after the body it comes with.
#[must_use]
pub fn may_come_behind(name: &HeaderName) -> bool {
    !NEVER_BEHIND.contains(name)
}

/// Trailer fields, and the empty line behind them.
///
/// # Errors
/// What is wrong with them.
pub fn trailers(lines: &Bytes) -> Result<HeaderMap, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    match httparse::parse_headers(lines, &mut fields) {
        Ok(httparse::Status::Complete((end, fields))) if end == lines.len() => collect(lines, fields),
        Ok(_) => Err("it ends within itself"),
        Err(error) => Err(words(error)),
    }
}

/// Fields that were found in `text`, which their values share.
///
/// # Errors
/// What is wrong with them.
pub fn collect(text: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, &'static str> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "a field's name is none")?;
        let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value));
        headers.append(name, value.map_err(|_| "a field's value is none")?);
    }
    Ok(headers)
}

/// Whether a list of names, in one field or several, has this one.
pub fn names<'a>(list: impl IntoIterator<Item = &'a HeaderValue>, name: &[u8]) -> bool {
    let has = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(name))
    };
    list.into_iter().any(has)
}

/// What the parser found wrong.
#[must_use]
pub fn words(error: httparse::Error) -> &'static str {
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
