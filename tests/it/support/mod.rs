//! What the tests stand on: peers that are told what to answer and remember what they were asked, and between them
//! the gateway as it is, in this process, with a clock that the tests move.
//!
//! ```text
//! client ─▶ gateway (threads of its own, port 0) ─┬─▶ registry  ┐ wire: HTTP/1.1 to the byte,
//!   h1, TLS h1, TLS h2, raw bytes                 └─▶ authority ┘ everything received is kept
//! stage: all of them, and the clock      tokens: what the authority signs, and what it never would
//! ```
//!
//! Nothing here sleeps to wait for something: what is waited for is said, and [`soon`] is how long at most.

use std::future::Future;
use std::time::Duration;

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod log;
pub(crate) mod raw;
pub(crate) mod registry;
pub(crate) mod stage;
pub(crate) mod tokens;
pub(crate) mod wire;

/// In every password, `_state` and body that must not appear in a log.
pub(crate) const CANARY: &str = "CANARY";

/// How every password begins: what no answer to a client may hold either.
pub(crate) const PASSWORD: &str = "CANARY-password";

/// Far longer than anything takes, also on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must happen, and gives up on it loudly.
#[track_caller]
pub(crate) fn soon<F: Future>(what: F) -> impl Future<Output = F::Output> {
    let waiting = tokio::time::timeout(PATIENCE, what);
    let from = std::panic::Location::caller();
    async move { waiting.await.unwrap_or_else(|_| panic!("{from}: it did not happen")) }
}
