//! The `Authorization` header (RFC 9110 §11.6.2): Basic (RFC 7617) or Bearer (RFC 6750 §2.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::base::secret::Secret;

/// What an Authorization header holds.
///
/// ```
/// use tidegate::base::secret::Secret;
/// use tidegate::oci::credentials::Credentials;
///
/// let header = Credentials::basic("jane", "s3cret:").unwrap();
/// assert!(header.is_sensitive());
/// let password = Secret::new(b"s3cret:".to_vec());
/// assert_eq!(Credentials::parse(&header), Credentials::Basic { user: "jane".to_owned(), password });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// User and password.
    Basic {
        /// The login as sent.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Bearer(Secret),
    /// Another scheme, or one of the two that does not parse.
    Other,
}

impl Credentials {
    /// Reads a header value. Never fails: what is not understood is [`Credentials::Other`].
    ///
    /// Exactly one space stands between scheme and credentials, as the registries demand. Any visible text is a
    /// Bearer token: whether it is one is the verifier's to say, and its answer to the client is another one
    /// (`invalid_token`) than to a request without a token.
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Self {
        match split(value) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer") => {
                Self::Bearer(Secret::new(token.to_vec()))
            }
            Some((scheme, pair)) if scheme.eq_ignore_ascii_case(b"basic") => {
                user_and_password(pair).unwrap_or(Self::Other)
            }
            _ => Self::Other,
        }
    }

    /// The token of a Bearer, where it stands; `None` for anything that [`Credentials::parse`] calls something else.
    #[must_use]
    pub fn bearer_in(value: &HeaderValue) -> Option<&[u8]> {
        split(value).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer")).map(|(_, token)| token)
    }

    /// `Authorization: Basic …` for these; marked sensitive.
    ///
    /// # Errors
    /// `None` when the user holds a colon, or either a control character (RFC 7617 §2).
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Option<HeaderValue> {
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
            return None;
        }
        let mut pair = Zeroizing::new(Vec::with_capacity(user.len().saturating_add(password.len()).saturating_add(1)));
        pair.extend_from_slice(user.as_bytes());
        pair.push(b':');
        pair.extend_from_slice(password.as_bytes());
        sensitive("Basic ", Zeroizing::new(STANDARD.encode(&*pair)).as_bytes())
    }

    /// `Authorization: Bearer …` for this token; marked sensitive.
    ///
    /// # Errors
    /// `None` when the token is empty or holds anything but visible ASCII characters.
    #[must_use]
    pub fn bearer(token: &Secret) -> Option<HeaderValue> {
        let token = token.expose();
        let visible = !token.is_empty() && is_visible(token);
        visible.then(|| sensitive("Bearer ", token)).flatten()
    }
}

/// Scheme and credentials, which are visible characters.
fn split(value: &HeaderValue) -> Option<(&[u8], &[u8])> {
    let mut parts = value.as_bytes().splitn(2, |byte| *byte == b' ');
    let (scheme, credentials) = (parts.next()?, parts.next()?);
    (!credentials.is_empty() && is_visible(credentials)).then_some((scheme, credentials))
}

/// Whether there are only visible ASCII characters. Looks at all of them in any case, many at a time.
fn is_visible(text: &[u8]) -> bool {
    text.iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic())
}

/// Splits at the first colon: a password may hold more of them, a user none (RFC 7617 §2). A control character in
/// a user has no meaning but to confuse whoever reads it in a log.
fn user_and_password(token68: &[u8]) -> Option<Credentials> {
    let pair = Zeroizing::new(STANDARD.decode(token68).ok()?);
    let mut parts = pair.splitn(2, |byte| *byte == b':');
    let user = std::str::from_utf8(parts.next()?).ok()?;
    let password = Secret::new(parts.next()?.to_vec());
    (!user.chars().any(char::is_control)).then(|| Credentials::Basic { user: user.to_owned(), password })
}

fn sensitive(scheme: &str, credentials: &[u8]) -> Option<HeaderValue> {
    let text = Zeroizing::new([scheme.as_bytes(), credentials].concat());
    let mut value = HeaderValue::from_bytes(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
