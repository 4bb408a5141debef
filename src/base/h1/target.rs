//! Bytes of a request's target (RFC 9112 §3.2).

/// What no URI has (RFC 3986 §2), but for what browsers leave as it is.
#[must_use]
pub fn is_outside_query(byte: u8) -> bool {
    (byte <= b' ') | (byte >= 0x7f) | (byte == b'#') | (byte == b'"') | (byte == b'<') | (byte == b'>')
}

/// A backslash in a path is a slash to some.
#[must_use]
pub fn is_outside_path(byte: u8) -> bool {
    is_outside_query(byte) | (byte == b'?') | (byte == b'\\')
}
