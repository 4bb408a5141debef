//! `application/x-www-form-urlencoded` (WHATWG URL §5), read as Go's `net/url` reads it, because the registries do:
//! pairs at `&` only, `+` is a space, a pair with a broken escape or a `;` counts for nothing.

/// The raw pairs of a query or a form: name and value, `None` where there was no `=`. Empty pairs are left out.
pub(super) fn pairs(raw: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value))))
}

/// Undoes percent-encoding and `+`; `None` where an escape is broken or the result is not UTF-8.
pub(super) fn text(raw: &str) -> Option<String> {
    String::from_utf8(bytes(raw)?).ok()
}

/// Undoes percent-encoding and `+`; `None` where an escape is broken. Allocates once, so that a caller who wipes
/// the result has wiped all of it.
pub(super) fn bytes(raw: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit(rest.next()?)? << 4) | digit(rest.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

/// Appends `value` with all but unreserved characters (RFC 3986 §2.3) and those of `kept` percent-encoded.
pub(crate) fn encode(value: &str, kept: &[u8], into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || kept.contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for nibble in [byte >> 4, byte & 15] {
                into.push(char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }));
            }
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
