//! All that is said about one token, for text and JSON alike.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::malformed;
use super::verdict::{self, Seen, TIDEGATE, Verdict};
use crate::base::clock::Timestamp;
use crate::token::claims::{AccessClaim, Claims};
use crate::token::compact::{Compact, Header};
use crate::token::identity::GitlabId;
use crate::token::verifier::Verifier;

/// What a token is checked against.
pub(super) struct Against {
    /// As people call it: an authority of a file, or files of certificates.
    pub(super) name: String,
    pub(super) verifier: Verifier,
    /// Claims that nothing was given to compare with.
    pub(super) unchecked: Vec<&'static str>,
}

/// The answer. Times are seconds since 1970.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The moment it is about.
    pub(super) at: i64,
    /// Why it cannot be read; then there is nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) malformed: Option<String>,
    #[serde(flatten)]
    pub(super) said: Option<Said>,
    /// Against what it was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checked_against: Option<String>,
    /// Claims that were not compared with anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unchecked: Vec<&'static str>,
    /// By whom it is taken, and why not.
    pub(super) verdicts: Vec<Verdict>,
}

/// What the token says.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    /// How many certificates came along.
    pub(super) x5c: usize,
    pub(super) iss: String,
    pub(super) aud: Vec<String>,
    pub(super) sub: Option<String>,
    pub(super) auth_type: Option<String>,
    pub(super) jti: Option<String>,
    pub(super) iat: Option<i64>,
    pub(super) nbf: Option<i64>,
    pub(super) exp: i64,
    /// Seconds to `exp`; negative when it is over.
    pub(super) left: i64,
    /// What GitLab's nested token says of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_info: Option<Value>,
    pub(super) access: Vec<Granted>,
    /// Who Tidegate takes the holder to be; only of a token that it believes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<Known>,
}

/// An identity, and what it was told by.
#[derive(Debug, Serialize)]
pub(super) struct Known {
    /// Two tokens with the same one may continue each other's uploads.
    pub(super) fingerprint: String,
    pub(super) by: String,
}

/// An entry of `access`.
#[derive(Debug, Serialize)]
pub(super) struct Granted {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<String>,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<Box<RawValue>>,
}

impl Report {
    /// Looks at a token as of `now`.
    pub(super) fn new(token: &[u8], against: Option<&Against>, now: Timestamp) -> Self {
        let read = Compact::parse(token).ok().and_then(|compact| {
            let claims = Claims::parse(compact.payload()).ok()?;
            Some((compact, claims))
        });
        let mut report = Self {
            at: now.0,
            malformed: malformed::why(token),
            said: None,
            checked_against: against.map(|against| against.name.clone()),
            unchecked: against.map(|against| against.unchecked.clone()).unwrap_or_default(),
            verdicts: Vec::new(),
        };
        let Some((compact, claims)) = read else { return report };
        let signed = against.map(|against| against.verifier.verify(token));
        let payload: Value = serde_json::from_slice(compact.payload()).unwrap_or_default();
        let list = payload.get("aud").is_some_and(Value::is_array);
        let checked = against.zip(signed.as_ref());
        report.verdicts = verdict::all(&Seen { header: compact.header(), claims: &claims, list, checked, now });
        let identity = checked.and_then(|(against, signed)| {
            let identity = signed.as_ref().ok()?.identity();
            let fingerprint = identity.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            Some(Known { fingerprint, by: known_by(&claims, &against.verifier) })
        });
        report.said = Some(Said { identity, ..Said::new(compact.header(), claims, now) });
        report
    }

    /// Whether there is nothing that would keep Tidegate, or without anything to check against all registries, from
    /// taking the token.
    pub(super) fn is_fine(&self) -> bool {
        let ours = self.verdicts.iter().find(|verdict| verdict.by == TIDEGATE);
        self.malformed.is_none()
            && ours.map_or_else(|| self.verdicts.iter().any(|verdict| verdict.takes), |ours| ours.takes)
    }
}

impl Said {
    fn new(header: &Header, claims: Claims, now: Timestamp) -> Self {
        Self {
            alg: header.alg.clone(),
            kid: header.kid.clone(),
            x5c: header.x5c.as_ref().map_or(0, Vec::len),
            user_info: claims.user.as_deref().and_then(user_info),
            iss: claims.issuer,
            aud: claims.audience,
            sub: claims.subject,
            auth_type: claims.auth_type,
            jti: claims.id,
            iat: claims.issued_at.map(|at| at.0),
            nbf: claims.not_before.map(|at| at.0),
            exp: claims.expires.0,
            left: claims.expires.since(now),
            access: claims.access.into_iter().map(Granted::from).collect(),
            identity: None,
        }
    }
}

impl From<AccessClaim> for Granted {
    fn from(claim: AccessClaim) -> Self {
        Self {
            kind: claim.kind,
            class: claim.class,
            name: claim.name,
            actions: claim.actions.iter().map(|action| action.as_str().to_owned()).collect(),
            meta: claim.meta,
        }
    }
}

/// What the token within says; whether anybody signed it is not looked at.
fn user_info(user: &str) -> Option<Value> {
    let inner: Value = serde_json::from_slice(Compact::parse(user.as_bytes()).ok()?.payload()).ok()?;
    inner.get("user_info").filter(|info| !info.is_null()).cloned()
}

/// What tells the holder apart, in the words of [`crate::token::identity`].
fn known_by(claims: &Claims, verifier: &Verifier) -> String {
    let subject = claims.subject.as_deref().filter(|subject| !subject.is_empty()).map(|_| "`sub`".to_owned());
    let id = claims.user.as_deref().and_then(|user| GitlabId::read(user, &verifier.keys)).map(|id| match id {
        GitlabId::User(id) => format!("GitLab's user {id}"),
        GitlabId::DeployToken(id) => format!("GitLab's deploy token {id}"),
    });
    let parts: Vec<_> = subject.into_iter().chain(id).collect();
    if parts.is_empty() {
        "itself alone: it names nobody, so no other token is its holder's".to_owned()
    } else {
        parts.join(" and ")
    }
}
