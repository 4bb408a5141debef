//! Registry tokens (RFC 7519 JWTs), pure: reading, verifying, minting, and who they speak for.
//!
//! ```text
//!  bytes ─▶ compact ─▶ verifier ─▶ Signed ─ at(now) ─▶ Verified | Lapsed     minter ─▶ the registry token
//!           strict      │   │
//!           JSON, JWS   │   ├─ claims     Claims, AccessClaim: what is said, and what of it a request needs
//!                       │   └─ identity   Identity: who it is said for
//!                       └─ keys           VerifyingKeys: who may say it
//!                            ├─ jwks, certificate   the files they come from; `x5c` chains
//!                            └─ public_key, key_id  one key, and the names it goes by
//! ```
//!
//! It must never do I/O or read a clock: `now` is an argument. Only `verifier` makes a `Verified` or a `Lapsed`. A key
//! that comes in a token (`jwk`, `jku`, `x5u`, a stranger's `x5c`) is never believed.

mod certificate;
pub mod claims;
pub mod compact;
pub mod identity;
pub mod json;
mod jwks;
pub mod key_id;
pub mod keys;
pub mod minter;
mod public_key;
#[cfg(test)]
pub(crate) mod testing;
pub mod verifier;
