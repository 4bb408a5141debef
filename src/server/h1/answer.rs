//! An answer on its way out: its head, and how its length is told (RFC 9112 §6).

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body::Body as _;

use super::head::Asked;
use crate::base::body::Body;
use crate::base::h1::fields::{self, put};
use crate::base::h1::sending::{Framing, Sending};
use crate::server::message;

/// What a head has beside its fields.
const FRAME: usize = 160;

/// What is sent, and whether the connection ends with it.
pub(super) struct Answer {
    pub(super) sending: Sending,
    pub(super) is_last: bool,
}

impl Answer {
    /// The answer to a request. `is_last`: the connection ends with it, which the request may not have asked for; `switches`:
    /// another protocol begins behind it.
    pub(super) fn new(response: Response<Body>, asked: Asked, is_last: bool, switches: bool) -> Self {
        let (parts, body) = response.into_parts();
        let (framing, told) = framing(&parts, &body, asked);
        // Of a protocol that nobody asked for there is nobody to speak it.
        let is_lost = parts.status == StatusCode::SWITCHING_PROTOCOLS && !switches;
        let closes = asked.is_last || fields::names(parts.headers.get_all(CONNECTION), b"close");
        let is_last = is_last || is_lost || framing == Framing::UntilClose || (!switches && closes);
        let promised = match framing {
            Framing::Chunked if asked.trailers => parts.headers.get_all(TRAILER).iter().cloned().collect(),
            _ => Vec::new(),
        };
        let connection = match (switches, is_last, asked.is_old) {
            (true, ..) => None,
            (_, true, _) => Some("close"),
            (.., true) => Some("keep-alive"),
            _ => None,
        };
        let head = encode(&parts, told, framing, asked.is_old, connection, switches);
        let body = if asked.head_only || is_bare(parts.status, asked) { Body::empty() } else { body };
        Self { sending: Sending::new(head, framing, body, promised), is_last }
    }
}

/// How the body's length is told, and the length that is told of a body which is not sent, or not there.
fn framing(parts: &Parts, body: &Body, asked: Asked) -> (Framing, Option<u64>) {
    let status = parts.status;
    let exact = body.size_hint().exact();
    let named = || message::content_length(&parts.headers);
    if status == StatusCode::NOT_MODIFIED {
        return (Framing::None, named());
    }
    // RFC 9110 §8.6.
    if is_bare(status, asked) {
        return (Framing::None, None);
    }
    if asked.head_only {
        return (Framing::None, named().or(exact.filter(|length| *length > 0)));
    }
    match exact.or_else(named) {
        Some(0) => (Framing::None, Some(0)),
        Some(length) => (Framing::Counted(length), Some(length)),
        None if asked.is_old => (Framing::UntilClose, None),
        None => (Framing::Chunked, None),
    }
}

/// Whether the answer has no body, whatever it says (RFC 9112 §6.3); HEAD apart.
fn is_bare(status: StatusCode, asked: Asked) -> bool {
    status.is_informational() || message::is_bare(status) || (asked.connects && status.is_success())
}

fn encode(
    parts: &Parts,
    length: Option<u64>,
    framing: Framing,
    is_old: bool,
    connection: Option<&str>,
    switches: bool,
) -> Bytes {
    let mut head = BytesMut::with_capacity(fields::length(&parts.headers) + FRAME);
    head.put_slice(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    head.put_slice(parts.status.as_str().as_bytes());
    head.put_u8(b' ');
    head.put_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    head.put_slice(b"\r\n");
    for (name, value) in &parts.headers {
        let is_ours = *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || (*name == CONNECTION && !switches);
        if !is_ours {
            put(&mut head, name, value.as_bytes());
        }
    }
    if let Some(length) = length {
        put(&mut head, &CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
    }
    if framing == Framing::Chunked {
        put(&mut head, &TRANSFER_ENCODING, b"chunked");
    }
    if let Some(connection) = connection {
        put(&mut head, &CONNECTION, connection.as_bytes());
    }
    if !parts.headers.contains_key(DATE) {
        put(&mut head, &DATE, message::date().as_bytes());
    }
    head.put_slice(b"\r\n");
    head.freeze()
}
