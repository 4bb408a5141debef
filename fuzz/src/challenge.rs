//! `WWW-Authenticate`: what is written parses back (RFC 9110 §11.6.1) into the same realm, service, scope and error,
//! whatever a configuration or a token put into them.

use tidegate::oci::challenge::{Challenge, ChallengeError};
use tidegate::oci::scope;

use super::lines;

/// The bytes are four lines: realm, service, scope, and a word for the error.
pub fn check(data: &[u8]) {
    let Some([realm, service, written, error]) = lines(data) else { return };
    let Ok(entries) = scope::parse(written) else { return };
    let error = match error.trim_end() {
        "invalid_token" => Some(ChallengeError::InvalidToken),
        "insufficient_scope" => Some(ChallengeError::InsufficientScope),
        _ => None,
    };
    let challenge = Challenge { realm: realm.to_owned(), service: service.to_owned(), scope: entries, error };
    let header = challenge.header();
    let read = parameters(header.as_bytes()).unwrap_or_else(|| panic!("{header:?} is no challenge"));
    // Control characters have no spelling in a quoted string; everything else comes back.
    let kept = |text: &str| text.chars().filter(|c| !c.is_ascii_control()).collect::<String>().into_bytes();
    let mut wanted = vec![("realm", kept(realm)), ("service", kept(service))];
    if !challenge.scope.is_empty() {
        wanted.push(("scope", scope::write(&challenge.scope).into_bytes()));
    }
    wanted.extend(error.map(|error| ("error", error.as_str().as_bytes().to_vec())));
    let wanted: Vec<_> = wanted.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect();
    assert_eq!(read, wanted, "{header:?} says something else");
    let scopes: Vec<_> = read.iter().filter(|(name, _)| name == b"scope").collect();
    for (_, value) in scopes {
        let value = std::str::from_utf8(value).unwrap_or_default();
        assert_eq!(scope::parse(value).as_ref(), Ok(&challenge.scope), "{value:?} asks for another right");
    }
}

type Parameter = (Vec<u8>, Vec<u8>);

/// `Bearer name="value",…` with quoted strings and their escapes, to the last byte.
fn parameters(header: &[u8]) -> Option<Vec<Parameter>> {
    let mut left = header.strip_prefix(b"Bearer ")?.iter().copied().peekable();
    let mut read = Vec::new();
    loop {
        let mut name = Vec::new();
        while let Some(byte) = left.next_if(|byte| byte.is_ascii_lowercase()) {
            name.push(byte);
        }
        if name.is_empty() || left.next()? != b'=' || left.next()? != b'"' {
            return None;
        }
        let mut value = Vec::new();
        loop {
            match left.next()? {
                b'"' => break,
                b'\\' => value.push(left.next()?),
                byte => value.push(byte),
            }
        }
        read.push((name, value));
        match left.next() {
            None => return Some(read),
            Some(b',') => {}
            Some(_) => return None,
        }
    }
}
