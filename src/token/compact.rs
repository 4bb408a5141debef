//! The compact serialization of a JWS (RFC 7515 §7.1), taken apart strictly and believed in nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::json;
use super::verifier::TokenError;

/// Of a whole token. GitLab's have 2.5 KiB at most, with a chain of certificates some more.
pub const MAX_TOKEN: usize = 16 * 1024;

/// A token taken apart. Nothing in it is proved.
///
/// ```
/// use tidegate::token::compact::Compact;
/// use tidegate::token::verifier::TokenError;
///
/// let unsigned = b"eyJhbGciOiJub25lIn0.e30.";
/// let compact = Compact::parse(unsigned)?;
/// assert_eq!(compact.header().alg, "none");
/// assert_eq!(compact.header().algorithm(), Err(TokenError::Algorithm));
/// # Ok::<(), TokenError>(())
/// ```
#[derive(Clone)]
pub struct Compact<'a> {
    header: Header,
    payload: Vec<u8>,
    /// `header.payload` as sent: what was signed.
    message: &'a [u8],
    /// The third part as sent.
    signature: &'a str,
}

/// The parameters of a JOSE header that mean something here (RFC 7515 §4.1). Keys and addresses of keys that stand in
/// it (`jwk`, `jku`, `x5u`) are not even read.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// `alg`
    pub alg: String,
    /// `typ`
    #[serde(default)]
    pub typ: Option<String>,
    /// `kid`
    #[serde(default)]
    pub kid: Option<String>,
    /// `x5c`: base64 (not base64url) DER certificates, the signer's first.
    #[serde(default)]
    pub x5c: Option<Vec<String>>,
    /// An extension that must be understood (`crit`), another way to sign (`b64`, RFC 7797), encryption, compression,
    /// or a token within the token: readers that know it and readers that do not see different tokens.
    #[serde(default, rename = "crit", alias = "b64", alias = "cty", alias = "enc", alias = "zip")]
    _extended: Absent,
}

/// What must not stand there, not even as `null`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "IgnoredAny")]
struct Absent;

impl TryFrom<IgnoredAny> for Absent {
    type Error = &'static str;

    fn try_from(_: IgnoredAny) -> Result<Self, Self::Error> {
        Err("changes what the token means")
    }
}

impl Header {
    /// The algorithm, out of those that registries sign with: never `none`, an HMAC, PS* or EdDSA.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`].
    pub fn algorithm(&self) -> Result<Algorithm, TokenError> {
        match self.alg.as_str() {
            "RS256" => Ok(Algorithm::RS256),
            "RS384" => Ok(Algorithm::RS384),
            "RS512" => Ok(Algorithm::RS512),
            "ES256" => Ok(Algorithm::ES256),
            "ES384" => Ok(Algorithm::ES384),
            _ => Err(TokenError::Algorithm),
        }
    }
}

impl<'a> Compact<'a> {
    /// Takes a token apart: three parts of canonical base64url without padding, a header without surprises.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(token: &'a [u8]) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let text = std::str::from_utf8(token).map_err(|_| TokenError::Malformed)?;
        let (message, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        // The decoder takes the alphabet alone: no dots, no blanks, no padding, no stray bits in the last character.
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)?;
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        let header: Header = json::read(&header).map_err(|_| TokenError::Malformed)?;
        if header.typ.as_ref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenError::Malformed);
        }
        Ok(Self { header, payload, message: message.as_bytes(), signature })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The decoded second part.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What was signed.
    pub(super) fn message(&self) -> &[u8] {
        self.message
    }

    /// The signature, base64url.
    pub(super) fn signature(&self) -> &str {
        self.signature
    }
}

impl std::fmt::Debug for Compact<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compact").field("header", &self.header).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
