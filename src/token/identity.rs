//! Who a token speaks for, so that two tokens can be told to be of one holder.

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;

use super::claims::Claims;
use super::compact::Compact;
use super::json::{self, Object};
use super::keys::VerifyingKeys;

/// Issuer, audience, `sub`, `auth_type`, and GitLab's user or deploy token id where its nested `user` token verifies.
/// Without `sub` and without such an id it is the very token (`jti`): deploy tokens carry no `sub`, and any two of
/// them must not be one. Kept as SHA-256 of the length-prefixed parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

/// What a holder is known by; the discriminant keeps equal bytes of different meaning apart.
enum Holder<'a> {
    /// `sub` or a GitLab id, or both.
    Known { subject: Option<&'a str>, gitlab: Option<GitlabId> },
    /// `jti`
    Id(&'a str),
    /// A token without a name is nobody else's equal.
    Token(&'a [u8]),
}

/// An id out of GitLab's nested `user` token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitlabId {
    /// `user_id`
    User(u64),
    /// `deploy_token_id`
    DeployToken(u64),
}

impl Identity {
    /// The holder of a token whose signature, issuer and audience were found right. `service` is the audience it was
    /// accepted for, `token` its bytes.
    pub(super) fn of(claims: &Claims, service: &str, token: &[u8], keys: &VerifyingKeys) -> Self {
        // docker_auth writes an empty `sub` for the anonymous: nobody's name is nobody's.
        let subject = claims.subject.as_deref().filter(|subject| !subject.is_empty());
        let gitlab = claims.user.as_deref().and_then(|user| GitlabId::read(user, keys));
        let holder = match (subject, gitlab, claims.id.as_deref().filter(|id| !id.is_empty())) {
            (None, None, Some(id)) => Holder::Id(id),
            (None, None, None) => Holder::Token(token),
            _ => Holder::Known { subject, gitlab },
        };
        let mut hash = Context::new(&SHA256);
        hash.update(b"tidegate identity 1");
        for part in [Some(claims.issuer.as_str()), Some(service), claims.auth_type.as_deref()] {
            put(&mut hash, part.map(str::as_bytes));
        }
        holder.put(&mut hash);
        let mut identity = [0; 32];
        identity.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(identity)
    }
}

impl Holder<'_> {
    fn put(&self, hash: &mut Context) {
        match self {
            Self::Known { subject, gitlab } => {
                put(hash, Some(b"known"));
                put(hash, subject.map(str::as_bytes));
                put(hash, gitlab.map(|id| id.bytes()).as_ref().map(<[u8; 9]>::as_slice));
            }
            Self::Id(id) => {
                put(hash, Some(b"jti"));
                put(hash, Some(id.as_bytes()));
            }
            Self::Token(token) => {
                put(hash, Some(b"token"));
                put(hash, Some(token));
            }
        }
    }
}

impl GitlabId {
    /// Reads GitLab's nested `user` token: signed with the key of the outer one, with a life of its own that is over
    /// after a minute and says nothing about who it names.
    #[must_use]
    pub fn read(user: &str, keys: &VerifyingKeys) -> Option<Self> {
        #[derive(Deserialize)]
        struct User {
            user_info: Option<Object<UserInfo>>,
        }
        #[derive(Deserialize)]
        struct UserInfo {
            user_id: Option<u64>,
            deploy_token_id: Option<u64>,
        }
        let token = Compact::parse(user.as_bytes()).ok()?;
        keys.check(&token).ok()?;
        let Object(info) = json::read::<User>(token.payload()).ok()?.user_info?;
        match (info.user_id, info.deploy_token_id) {
            (Some(id), None) => Some(Self::User(id)),
            (None, Some(id)) => Some(Self::DeployToken(id)),
            _ => None,
        }
    }

    fn bytes(self) -> [u8; 9] {
        let (kind, id) = match self {
            Self::User(id) => (0, id),
            Self::DeployToken(id) => (1, id),
        };
        let mut bytes = [kind; 9];
        bytes.iter_mut().skip(1).zip(id.to_be_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// One part: whether it is there, how long it is, and its bytes. No two lists of parts have the same encoding.
fn put(hash: &mut Context, part: Option<&[u8]>) {
    let Some(part) = part else { return hash.update(&[0]) };
    hash.update(&[1]);
    hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests;
