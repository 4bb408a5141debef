//! What must hold for every reader of foreign bytes, whatever the bytes are.
//!
//! ```text
//! fuzz_targets/NAME.rs ── libFuzzer, nightly, for a minute or a night ──┐
//!                                                                       ├─▶ NAME::check(bytes)
//! tests/it/invariants.rs ── stable: all seeds, and mutations of them ───┘
//! ```
//!
//! A check reads the bytes with the library and again with a reader of its own, written from the standard or from
//! what registries and authorities do, and panics where the two disagree in a way that matters. That nothing panics
//! by itself is the least of it. A check must never accept what the library says as its own proof.

pub mod answer;
pub mod basic;
pub mod challenge;
pub mod config;
pub mod framing;
pub mod handshake;
mod keys;
mod line;
pub mod location;
pub mod proxy_header;
pub mod record;
pub mod relayed;
mod requests;
pub mod route;
pub mod scope;
pub mod served;
mod shaken;
pub mod ticket;
pub mod token;
pub mod token_request;
mod turns;

/// A target: its name, which is also its seeds' folder, and its check.
pub type Target = (&'static str, fn(&[u8]));

/// All of them; a test compares them with the folders and with `fuzz/Cargo.toml`.
pub const TARGETS: &[Target] = &[
    ("answer", answer::check),
    ("basic", basic::check),
    ("challenge", challenge::check),
    ("config", config::check),
    ("framing", framing::check),
    ("handshake", handshake::check),
    ("location", location::check),
    ("proxy_header", proxy_header::check),
    ("record", record::check),
    ("relayed", relayed::check),
    ("route", route::check),
    ("scope", scope::check),
    ("served", served::check),
    ("ticket", ticket::check),
    ("token", token::check),
    ("token_request", token_request::check),
];

/// The bytes as `N` lines of text, the last one with whatever follows; none for anything else.
fn lines<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let text = std::str::from_utf8(data).ok()?;
    let lines: Vec<&str> = text.splitn(N, '\n').collect();
    lines.try_into().ok()
}
