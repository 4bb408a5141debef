//! The head of a request (RFC 9112 §2 to §5), of which the framing has been found to be without doubt.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, TE};
use http::uri::Uri;
use http::{Method, Request, Version};

use crate::base::h1::fields;

/// Fields that are found without allocating.
const FIELDS: usize = 100;
/// The longest target that can be held.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// A request, and what its head says about its answer.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) request: Request<()>,
    pub(super) asked: Asked,
    /// The client waits to be asked for the body (RFC 9110 §10.1.1).
    pub(super) waits: bool,
}

/// What an answer has to know of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// It is a HEAD, whose answer has no body.
    pub(super) head_only: bool,
    /// It is a CONNECT, of which the same is true if it succeeds.
    pub(super) connects: bool,
    /// HTTP/1.0
    pub(super) is_old: bool,
    /// The connection is not used again (RFC 9112 §9.3).
    pub(super) is_last: bool,
    /// The client takes trailers (RFC 9110 §10.1.4).
    pub(super) trailers: bool,
}

/// Why a head is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Too many fields.
    Fields,
    /// The target is too long.
    Target,
    /// What a parser of heads does not take.
    Parser,
}

/// The request that this is, with at most so many fields; they share the bytes of `head`.
///
/// # Errors
/// [`Unfit`]
pub(super) fn parse(head: &Bytes, most: usize) -> Result<Parsed, Unfit> {
    let mut few = [const { MaybeUninit::uninit() }; FIELDS];
    let mut many = Vec::new();
    let room = if most <= FIELDS {
        few.get_mut(..most).unwrap_or_default()
    } else {
        many.resize_with(most, MaybeUninit::uninit);
        &mut many
    };
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, room) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Unfit::Fields),
        _ => return Err(Unfit::Parser),
    }
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes()).map_err(|_| Unfit::Parser)?;
    let target = parsed.path.unwrap_or_default();
    if target.len() > MAX_TARGET {
        return Err(Unfit::Target);
    }
    let target = Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).map_err(|_| Unfit::Parser)?;
    let headers = fields::collect(head, parsed.headers).map_err(|_| Unfit::Parser)?;
    let is_old = parsed.version == Some(0);
    let connection = |word| fields::names(headers.get_all(CONNECTION), word);
    let asked = Asked {
        head_only: method == Method::HEAD,
        connects: method == Method::CONNECT,
        is_old,
        is_last: connection(b"close") || (is_old && !connection(b"keep-alive")),
        trailers: !is_old && fields::names(headers.get_all(TE), b"trailers"),
    };
    let waits =
        !is_old && headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    *request.headers_mut() = headers;
    Ok(Parsed { request, asked, waits })
}

#[cfg(test)]
mod tests;
