//! What a manifest or a blob is asked for by: a tag or a digest (OCI distribution-spec, `<reference>`, `<digest>`).

use std::fmt;

/// Neither a tag nor a digest, whichever was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tag or a digest")]
pub struct ReferenceError;

/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

/// The longest digest we read, in bytes: room for twice the longest registered one, `sha512`.
const MAX_DIGEST: usize = 256;

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
///
/// ```
/// use tidegate::oci::reference::Tag;
///
/// assert!(Tag::parse("v1.2_rc-3").is_ok());
/// assert!(Tag::parse(".hidden").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// A digest: `algorithm:encoded` (OCI image-spec, «Digests»). That a registered algorithm's encoded part has its
/// right length is left to the registry, which owns the error for it.
///
/// ```
/// use tidegate::oci::reference::Digest;
///
/// let digest = Digest::parse("sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b").unwrap();
/// assert_eq!(digest.algorithm(), "sha256");
/// assert!(Digest::parse("sha256").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// A `<reference>`. The two never overlap: a digest has a colon, which no tag has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

impl Tag {
    /// Reads a tag from the raw path.
    ///
    /// # Errors
    /// [`ReferenceError`] when the grammar does not take it.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = text.len() <= MAX_TAG
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(ReferenceError) }
    }

    /// The tag as it stands in the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Digest {
    /// Reads a digest from the raw path or a query's decoded value. The image-spec's grammar is
    /// `[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+`.
    ///
    /// # Errors
    /// [`ReferenceError`] when the grammar does not take it.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(ReferenceError)?;
        let component = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let fits = text.len() <= MAX_DIGEST
            && algorithm.split(['+', '.', '_', '-']).all(component)
            && !encoded.is_empty()
            && encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-'));
        if fits { Ok(Self(text.to_owned())) } else { Err(ReferenceError) }
    }

    /// The digest as it stands in the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the colon.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// What stands after it.
    #[must_use]
    pub fn encoded(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, encoded)| encoded)
    }
}

impl Reference {
    /// Reads a reference from the raw path.
    ///
    /// # Errors
    /// [`ReferenceError`] when it is neither.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Digest::parse(text).map(Self::Digest).or_else(|_| Tag::parse(text).map(Self::Tag))
    }

    /// The reference as it stands in the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
