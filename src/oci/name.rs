//! Repository names (OCI distribution-spec, «Pulling manifests»: `<name>`) and upload identifiers.

use std::fmt;

/// Not a repository name, or not an upload identifier, by its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a repository name")]
pub struct NameError;

/// The longest name the registries store, in bytes.
const MAX_NAME: usize = 255;

/// The longest upload identifier we read, in bytes; the registries' own are UUIDs of 36.
const MAX_UPLOAD_ID: usize = 128;

/// A `<name>`: lower-case path components, at most 255 bytes.
///
/// ```
/// use tidegate::oci::name::RepositoryName;
///
/// assert!(RepositoryName::parse("group/project/image__base").is_ok());
/// assert!(RepositoryName::parse("group//image").is_err());
/// assert!(RepositoryName::parse("Group/image").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// Where a reader of `<name>` stands: the last byte it took, as far as the next one depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Start,
    Alphanumeric,
    Dot,
    Underscore,
    Underscores,
    Dashes,
}

impl RepositoryName {
    /// Reads a name from the raw path; nothing is decoded. The grammar is the distribution-spec's
    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`.
    ///
    /// # Errors
    /// [`NameError`] when the grammar does not take it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME {
            return Err(NameError);
        }
        let mut last = Last::Start;
        for byte in text.bytes() {
            last = match (last, byte) {
                (_, b'a'..=b'z' | b'0'..=b'9') => Last::Alphanumeric,
                (Last::Alphanumeric, b'/') => Last::Start,
                (Last::Alphanumeric, b'.') => Last::Dot,
                (Last::Alphanumeric, b'_') => Last::Underscore,
                (Last::Underscore, b'_') => Last::Underscores,
                (Last::Alphanumeric | Last::Dashes, b'-') => Last::Dashes,
                _ => return Err(NameError),
            };
        }
        if last == Last::Alphanumeric { Ok(Self(text.to_owned())) } else { Err(NameError) }
    }

    /// The name as it stands in the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identifier of an upload session: the last path segment of its Location. Charset `[a-zA-Z0-9-_.=]`, 1 to 128 bytes.
///
/// ```
/// use tidegate::oci::name::UploadId;
///
/// assert!(UploadId::parse("6b3c9a93-af5d-473f-a4a0-9710022185cd").is_ok());
/// assert!(UploadId::parse("..").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// Reads an identifier from the raw path. `.` and `..` are in the charset, but as a path segment they mean
    /// another path (RFC 3986 §5.2.4), so they are no identifiers.
    ///
    /// # Errors
    /// [`NameError`] outside the charset or the length.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let taken = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=');
        let fits = (1..=MAX_UPLOAD_ID).contains(&text.len()) && text.bytes().all(taken);
        if fits && text != "." && text != ".." { Ok(Self(text.to_owned())) } else { Err(NameError) }
    }

    /// The identifier as it stands in the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
