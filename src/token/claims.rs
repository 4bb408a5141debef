//! The claims of a registry token (Docker token specification; GitLab's additions).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::{self, Malformed, Object};
use crate::base::clock::Timestamp;
use crate::oci::access::{Action, ResourceActions};

/// The last second of the year 9999: a later time is no time but an attempt.
const LAST: u64 = 253_402_300_799;

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
    /// Reads a token's payload. Whether anyone signed it is another question.
    ///
    /// # Errors
    /// [`Malformed`]: `iss` and `exp` must be there, times be whole seconds that a calendar has, and nothing repeated.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        json::read::<Wire>(payload).map(Self::from)
    }

    /// Whether the token grants all of `needed`: same type and literal name, each action named or `*`.
    /// Several entries of one resource add up. Needing nothing is no need that a token could meet.
    #[must_use]
    pub fn covers(&self, needed: &ResourceActions) -> bool {
        let granted = |action| self.of(needed).any(|entry| entry.grants(action));
        !needed.actions.is_empty() && needed.actions.iter().all(granted)
    }

    /// What of `needed` this token grants, as the claims to mint: type, name, class and meta copied from the
    /// granting entries, actions = needed ∩ granted (`*` grants any; the needed word is minted). Never more.
    ///
    /// Entries stay apart and in their order, because `meta` is a policy of its own: GitLab's registry collects the
    /// tag rules of all entries of a repository. So an entry that grants none of the needed actions, but stands for
    /// the same resource and has a `meta`, goes along with no actions, as long as another entry grants some. Actions
    /// that no registry knows are dropped.
    #[must_use]
    pub fn narrowed(&self, needed: &[ResourceActions]) -> Vec<AccessClaim> {
        let narrow = |entry: &AccessClaim| {
            let wanted = needed.iter().filter(|needed| needed.same_resource(&entry.kind, &entry.name));
            let mut actions: Vec<_> = wanted.flat_map(|needed| &needed.actions).filter(|a| entry.grants(a)).collect();
            actions.retain(|action| !matches!(action, Action::Other(_)));
            actions.sort();
            actions.dedup();
            AccessClaim { actions: actions.into_iter().cloned().collect(), ..entry.clone() }
        };
        let known = self.access.iter().filter(|entry| matches!(entry.kind.as_str(), "repository" | "registry"));
        let mut minted: Vec<_> = known.map(narrow).collect();
        let granting: Vec<_> =
            minted.iter().filter(|entry| !entry.actions.is_empty()).map(AccessClaim::resource).collect();
        minted.retain(|entry| {
            !entry.actions.is_empty() || (entry.meta.is_some() && granting.contains(&entry.resource()))
        });
        minted
    }

    /// The entries of one resource.
    fn of<'a>(&'a self, needed: &'a ResourceActions) -> impl Iterator<Item = &'a AccessClaim> {
        self.access.iter().filter(|entry| needed.same_resource(&entry.kind, &entry.name))
    }
}

impl AccessClaim {
    fn grants(&self, action: &Action) -> bool {
        self.actions.iter().any(|granted| granted == action || *granted == Action::Any)
    }

    fn resource(&self) -> (String, String) {
        (self.kind.clone(), self.name.clone())
    }
}

/// The claims as they are written.
#[derive(Deserialize)]
struct Wire {
    iss: String,
    #[serde(default, deserialize_with = "one_or_many")]
    aud: Vec<String>,
    sub: Option<String>,
    #[serde(deserialize_with = "seconds")]
    exp: Timestamp,
    #[serde(default, deserialize_with = "some_seconds")]
    nbf: Option<Timestamp>,
    #[serde(default, deserialize_with = "some_seconds")]
    iat: Option<Timestamp>,
    jti: Option<String>,
    auth_type: Option<String>,
    user: Option<String>,
    access: Option<Vec<Object<WireAccess>>>,
}

#[derive(Deserialize)]
struct WireAccess {
    #[serde(rename = "type")]
    kind: String,
    class: Option<String>,
    name: String,
    actions: Option<Vec<String>>,
    meta: Option<Box<RawValue>>,
}

impl From<Wire> for Claims {
    fn from(wire: Wire) -> Self {
        Self {
            issuer: wire.iss,
            audience: wire.aud,
            subject: wire.sub,
            expires: wire.exp,
            not_before: wire.nbf,
            issued_at: wire.iat,
            id: wire.jti,
            auth_type: wire.auth_type,
            user: wire.user,
            access: wire.access.unwrap_or_default().into_iter().map(|Object(entry)| AccessClaim::from(entry)).collect(),
        }
    }
}

impl From<WireAccess> for AccessClaim {
    fn from(wire: WireAccess) -> Self {
        let actions = wire.actions.unwrap_or_default();
        Self {
            kind: wire.kind,
            class: wire.class,
            name: wire.name,
            actions: actions.iter().map(|word| Action::from(word.as_str())).collect(),
            meta: wire.meta,
        }
    }
}

/// `NumericDate` (RFC 7519 §2) as the registries take it: whole seconds, no sign, no fraction, no exponent.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    let in_calendar = i64::try_from(seconds).ok().filter(|_| seconds <= LAST);
    in_calendar.map(Timestamp).ok_or_else(|| D::Error::custom("beyond the calendar"))
}

/// A time that may be left out, but is one where it stands: `null` is none.
fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    seconds(deserializer).map(Some)
}

/// `aud` (RFC 7519 §4.1.3).
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    OneOrMany::deserialize(deserializer).map(|audience| match audience {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

#[cfg(test)]
mod tests;
