//! The `Authorization` header (RFC 9110 §11.6.2): Basic (RFC 7617) or Bearer (RFC 6750 §2.1).

use http::HeaderValue;

use crate::base::secret::Secret;

/// What an Authorization header holds.
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
    #[must_use]
    pub fn parse(_value: &HeaderValue) -> Self {
        todo!()
    }

    /// `Authorization: Basic …` for these; marked sensitive.
    ///
    /// # Errors
    /// `None` when the user holds a colon (RFC 7617 §2).
    #[must_use]
    pub fn basic(_user: &str, _password: &str) -> Option<HeaderValue> {
        todo!()
    }
}
