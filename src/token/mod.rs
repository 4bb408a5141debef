//! Registry tokens (RFC 7519 JWTs), pure: reading, verifying, minting, and who they speak for.
//!
//! ```text
//! keys      VerifyingKeys, KeyId   who may sign          claims    Claims, AccessClaim   what is said
//! verifier  Verifier ─▶ Signed ─▶ Verified | Lapsed      identity  Identity              who it is said for
//! minter    Minter                 the registry token
//! ```
//!
//! It must never do I/O or read a clock: `now` is an argument. Only `verifier` makes a `Verified` or a `Lapsed`.

pub mod claims;
pub mod identity;
pub mod keys;
pub mod minter;
pub mod verifier;
