//! What is shown besides that pushes pass: nobody went round the door, lapsed tokens were carried over, nothing secret was
//! written down.

use std::net::Ipv4Addr;

/// The evidence of one combination.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) rescues: u64,
    pub(crate) uploads_rescued: u64,
    /// Who besides Tidegate asked the registry, or the hop in front of it, anything.
    pub(crate) strangers: Vec<Ipv4Addr>,
    /// Whether anybody did; an empty log would prove nothing.
    pub(crate) asked: bool,
    /// Token requests that reached the authority round Tidegate or without the credentials they set out with.
    pub(crate) robbed: Vec<String>,
    /// Secrets found where none may be: a description, never the secret.
    pub(crate) leaks: Vec<String>,
    pub(crate) log_bytes: usize,
    /// How many tickets were seen on the line, and so looked for.
    pub(crate) tickets: usize,
}
