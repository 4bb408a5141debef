//! Who decides access: a Docker-protocol token server, GitLab first of all.
//!
//! ```text
//! Question ─▶ gitlab ─▶ upstream::client ─▶ the token server
//!             answer ◀─ Granted | Opaque | Denied | Passed | Throttled | Unreachable
//! ```
//!
//! It must never turn «cannot be asked» into «denied», never follow a redirect with a credential, and never change a
//! byte of the Authorization header or of the query.

pub mod answer;
mod date;
pub mod gitlab;
#[cfg(test)]
pub(crate) mod testing;
