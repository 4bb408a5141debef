//! Tokens obtained for clients: asked once, cached, repaired, remembered; and asked again while a push outlives one.
//!
//! ```text
//! endpoints::token ─▶ TokenService ─▶ cache (single flight) ─▶ authority
//! gateway ─▶ reverify / exchange ─▶ credentials (sealed) ─▶ authority
//! ```
//!
//! It must never hand a token to anyone but the exact credential that asked, nor keep a credential in clear.

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
