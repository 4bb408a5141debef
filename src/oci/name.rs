//! Repository names (OCI distribution-spec, «Pulling manifests»: `<name>`) and upload identifiers.

use std::fmt;

/// Not a repository name by the distribution-spec grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a repository name")]
pub struct NameError;

/// A `<name>`: lower-case path components, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Reads a name from the raw path; nothing is decoded.
    ///
    /// # Errors
    /// [`NameError`] when the grammar does not take it.
    pub fn parse(_text: &str) -> Result<Self, NameError> {
        todo!()
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// Reads an identifier from the raw path.
    ///
    /// # Errors
    /// [`NameError`] outside the charset or the length.
    pub fn parse(_text: &str) -> Result<Self, NameError> {
        todo!()
    }

    /// The identifier as it stands in the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
