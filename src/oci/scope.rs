//! The scope grammar of the Docker token specification: `repository:<name>:<action>[,<action>…]`.

use super::access::ResourceActions;

/// A `scope` value that cannot be read for certain; such a request is passed on, never cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope of the form `type:name:action[,action…]`")]
pub struct ScopeError;

/// Reads one `scope` value: several entries may stand in it, separated by spaces. Bounds: 64 entries, 8 KiB.
///
/// # Errors
/// [`ScopeError`] when any entry does not parse.
pub fn parse(_value: &str) -> Result<Vec<ResourceActions>, ScopeError> {
    todo!()
}

/// Writes entries as one `scope` value, separated by spaces.
#[must_use]
pub fn write(_entries: &[ResourceActions]) -> String {
    todo!()
}
