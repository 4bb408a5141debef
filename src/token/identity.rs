//! Who a token speaks for, so that two tokens can be told to be of one holder.

/// Issuer, audience, `sub`, `auth_type`, and GitLab's user or deploy token id where its nested `user` token verifies.
/// Without `sub` and without such an id it is the very token (`jti`): deploy tokens carry no `sub`, and any two of
/// them must not be one. Kept as SHA-256 of the length-prefixed parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);
