//! Tokens obtained for clients: asked once, cached, repaired, remembered; and asked again while a push outlives one.
//!
//! ```text
//! endpoints::token ─▶ TokenService::issue ─▶ cache ─▶ flight (single) ─▶ authority
//!                                    repair ◀── token ──▶ credentials (sealed, if it grants push)
//! gateway ─▶ TokenService::{reverify, exchange} ─▶ revocation? ─▶ credentials ─▶ flight ─▶ authority
//! ```
//!
//! It must never hand a token to anyone but the exact credential that asked, nor keep a credential in clear, nor turn
//! an authority that cannot be asked into a denial.

pub mod cache;
pub mod credentials;
pub mod flight;
pub mod issued;
pub mod key;
pub mod renewal;
pub mod repair;
pub mod revocation;
pub mod service;
#[cfg(test)]
pub(crate) mod testing;

/// `[tokens]`
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bound of the token cache, in bytes.
    pub cache: u64,
    /// How long a denial is remembered per exact credential.
    pub negative_ttl: std::time::Duration,
    /// Whether `expires_in` and `access_token` are added.
    pub announce_lifetime: bool,
}
