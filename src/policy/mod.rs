//! The decision, pure: what a request needs, what speaks for it, and the proof that it may go on.
//!
//! ```text
//! Question ─▶ decide ─┬─▶ Decision::Permit(Permit)                    a living token grants it
//!                     ├─▶ Decision::Extend(Extension)                 a lapsed token, on its own upload
//!                     │        └─ confirm(Word of the authority) ─▶ Permit | Refusal
//!                     └─▶ Decision::Refuse(Refusal)
//! ```
//!
//! Only this module makes a `Permit`, and the way to the registry takes nothing else. It must never permit more than
//! the presented token itself grants: a ticket adds time, not rights.

use std::time::Duration;

pub mod decide;
pub mod permit;

/// How a push outlives its token; `[push]` in the file, `renew` also per site.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// Hard end of an extension, counted from the upload's POST.
    pub max_session: Duration,
    /// Bound since the last verification where no credential is at hand.
    pub max_unverified: Duration,
    /// How often the authority is asked again while a lapsed token is extended.
    pub reverify: Duration,
    /// `exchange`: with less than this left (leeway not counted) an upload request gets a fresh token.
    pub exchange_margin: Duration,
    /// What an unreachable authority means for an extension.
    pub on_authority_down: OnAuthorityDown,
}

/// `push.on_authority_down`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAuthorityDown {
    /// The session goes on to its hard end.
    Continue,
    /// The extension stops.
    Stop,
}

/// `renew`: what takes the place of a client token that is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Renew {
    /// A token we sign.
    Resign,
    /// A token the authority issues again.
    Exchange,
    /// Nothing: forwards, routes, never extends.
    Off,
}
