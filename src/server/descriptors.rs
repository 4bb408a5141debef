//! How many file descriptors there are, and how many connections they are enough for.
//!
//! A client's connection needs a descriptor, and a request of it another one, to the registry. Were all spent on
//! clients, every request would fail although there is room for it, and nobody could ask how things are. So clients
//! wait in the kernel's queue as soon as a request of each could not be served.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for what is not a client's: listeners, runtimes, logs, authorities, the admin listener.
const RESERVE: u64 = 64;
/// For a connection: its own, and one to a registry.
const PER_CONNECTION: u64 = 2;

/// Raises the soft limit to the hard one, as far as that is allowed, and says how many descriptors there are then.
///
/// The soft limit is 1024 nearly everywhere, for the sake of programs that use `select`; this is none.
#[must_use]
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // It may not be allowed; what there is is then asked again.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many this process could have.
#[must_use]
pub fn most() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// How many connections `descriptors` are enough for, never none.
#[must_use]
pub fn connections(descriptors: u64) -> usize {
    let connections = descriptors.saturating_sub(RESERVE) / PER_CONNECTION;
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}

/// How many descriptors `connections` need.
#[must_use]
pub fn needed(connections: usize) -> u64 {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    connections.saturating_mul(PER_CONNECTION).saturating_add(RESERVE)
}

#[cfg(test)]
mod tests;
