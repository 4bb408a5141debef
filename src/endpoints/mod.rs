//! What is not `/v2/`: the token endpoint, and a web host behind the same door.
//!
//! ```text
//! /jwt/auth ─▶ token ─▶ issuance        everything else on a `proxy` site ─▶ proxy ─▶ upstream
//! ```
//!
//! It must never strip or change an Authorization header, and never answer for the authority what it did not say.

pub mod proxy;
pub mod token;
