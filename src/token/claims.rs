//! The claims of a registry token (Docker token specification; GitLab's additions).

use serde_json::value::RawValue;

use crate::base::clock::Timestamp;
use crate::oci::access::{Action, ResourceActions};

/// A token's claims, read strictly: integer times, no duplicate keys.
#[derive(Clone, Debug)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `aud`: a string, or an array of strings.
    pub audience: Vec<String>,
    /// `sub`; GitLab leaves it out for deploy tokens and the anonymous.
    pub subject: Option<String>,
    /// `exp`
    pub expires: Timestamp,
    /// `nbf`
    pub not_before: Option<Timestamp>,
    /// `iat`
    pub issued_at: Option<Timestamp>,
    /// `jti`
    pub id: Option<String>,
    /// `auth_type` (GitLab)
    pub auth_type: Option<String>,
    /// `user` (GitLab): a nested JWT, carried over byte for byte.
    pub user: Option<String>,
    /// `access`
    pub access: Vec<AccessClaim>,
}

/// An entry of `access`.
#[derive(Clone, Debug)]
pub struct AccessClaim {
    /// `type`
    pub kind: String,
    /// `class`
    pub class: Option<String>,
    /// `name`, literal
    pub name: String,
    /// `actions`
    pub actions: Vec<Action>,
    /// `meta` (GitLab: tag protection), carried over byte for byte.
    pub meta: Option<Box<RawValue>>,
}

impl Claims {
    /// Whether the token grants all of `needed`: same type and literal name, each action named or `*`.
    /// Several entries of one resource add up.
    #[must_use]
    pub fn covers(&self, _needed: &ResourceActions) -> bool {
        todo!()
    }

    /// What of `needed` this token grants, as the claims to mint: type, name, class and meta copied from the
    /// granting entries, actions = needed ∩ granted (`*` grants any; the needed word is minted). Never more.
    #[must_use]
    pub fn narrowed(&self, _needed: &[ResourceActions]) -> Vec<AccessClaim> {
        todo!()
    }
}
