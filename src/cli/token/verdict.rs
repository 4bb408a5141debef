//! What Tidegate and each family of registries make of a token, and why.

use serde::Serialize;

use super::report::Against;
use crate::base::clock::Timestamp;
use crate::cli::date::span;
use crate::token::claims::Claims;
use crate::token::compact::Header;
use crate::token::verifier::{Signed, Standing, TokenError};

/// What the registries add to `exp` and take off `nbf`.
const LEEWAY: i64 = 60;

/// As Tidegate signs its verdict.
pub(super) const TIDEGATE: &str = "Tidegate";

/// One party's answer.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    /// Whose.
    pub(super) by: &'static str,
    /// Whether the token is taken.
    pub(super) takes: bool,
    /// Why not, or with which reservation.
    pub(super) because: Vec<String>,
}

/// Families of registries whose verifiers differ (`registry/auth/token` of each).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Distribution2,
    Distribution3,
    Gitlab,
}

/// A token that could be read, and what was found out about it.
pub(super) struct Seen<'a> {
    pub(super) header: &'a Header,
    pub(super) claims: &'a Claims,
    /// `aud` was written as a list.
    pub(super) list: bool,
    pub(super) checked: Option<(&'a Against, &'a Result<Signed, TokenError>)>,
    pub(super) now: Timestamp,
}

/// All verdicts, Tidegate's first where there is something to check against.
pub(super) fn all(seen: &Seen<'_>) -> Vec<Verdict> {
    let ours = seen.checked.map(|(against, signed)| {
        let because = tidegate(seen, against, signed);
        Verdict { by: TIDEGATE, takes: because.is_none(), because: because.into_iter().collect() }
    });
    let families = [
        ("distribution 2.8", Family::Distribution2),
        ("distribution 3.x", Family::Distribution3),
        ("GitLab's registry", Family::Gitlab),
    ];
    let theirs = families.map(|(by, family)| {
        let because = registry(family, seen);
        Verdict { by, takes: because.is_empty(), because }
    });
    ours.into_iter().chain(theirs).collect()
}

fn tidegate(seen: &Seen<'_>, against: &Against, signed: &Result<Signed, TokenError>) -> Option<String> {
    match signed.as_ref().map_err(|error| *error).and_then(|signed| signed.at(seen.now)) {
        Ok(Standing::Living(_)) => None,
        Ok(Standing::Lapsed(_)) => Some(lapsed(seen.claims, seen.now)),
        Err(error) => Some(refusal(error, seen, against)),
    }
}

fn lapsed(claims: &Claims, now: Timestamp) -> String {
    let since = now.since(claims.expires);
    if since < LEEWAY {
        return "the certificate in its `x5c` has ended".to_owned();
    }
    format!("it ended {} ago: it speaks only for an upload that was opened while it lived", span(since))
}

fn refusal(error: TokenError, seen: &Seen<'_>, against: &Against) -> String {
    let Seen { header, claims, .. } = seen;
    let trusted = &against.name;
    match error {
        TokenError::Malformed => "it is malformed".to_owned(),
        TokenError::Algorithm => {
            format!("its `alg` is {:?}, which is not that of the key in {trusted}", header.alg)
        }
        TokenError::Key if header.x5c.is_some() => {
            format!("the certificate in its `x5c` is neither in {trusted} nor issued by one that is")
        }
        TokenError::Key => {
            let ids: Vec<_> = against.verifier.keys.ids().map(|id| id.as_str()).take(8).collect();
            let kid = header.kid.as_deref().unwrap_or_default();
            format!("its `kid` {kid:?} names no key of {trusted}; those are called {}", ids.join(", "))
        }
        TokenError::Signature => {
            format!(
                "its signature is not that of the key in {trusted}: forged, changed on its way, or another key of that name"
            )
        }
        TokenError::Issuer => format!("its `iss` is {:?}; {:?} is expected", claims.issuer, against.verifier.issuer),
        TokenError::Audience => {
            format!("its `aud` is {:?}; {:?} is expected", claims.audience, against.verifier.service)
        }
        TokenError::NotYet => early(claims, seen.now),
    }
}

fn early(claims: &Claims, now: Timestamp) -> String {
    match claims.not_before.filter(|nbf| now.0 < nbf.0 - LEEWAY) {
        Some(nbf) => {
            format!("it is not valid before {}, in {}: do the clocks agree?", nbf, span(nbf.since(now)))
        }
        None => "the certificate in its `x5c` is not valid yet".to_owned(),
    }
}

/// Why a registry of this family refuses the token, if it trusts the same keys and expects the same issuer and service.
fn registry(family: Family, seen: &Seen<'_>) -> Vec<String> {
    let Seen { header, claims, now, .. } = *seen;
    let mut because = Vec::new();
    if header.algorithm().is_err() {
        because.push(format!("its `alg` is {:?}; registries take RS256 and ES256, and their longer kin", header.alg));
    }
    because.extend(naming(family, header));
    if family == Family::Distribution2 && seen.list {
        because.push("its `aud` is a list; 2.8 takes a string only".to_owned());
    }
    if now.since(claims.expires) > LEEWAY {
        let over = now.since(claims.expires);
        because.push(format!("it ended {} ago; registries take it for {LEEWAY} s longer than it says", span(over)));
    } else if claims.not_before.is_some_and(|nbf| now.0 < nbf.0 - LEEWAY) {
        because.push(early(claims, now));
    } else if let Some((_, Ok(signed))) = seen.checked {
        // Its own times are right; what is left are the dates of its certificates.
        match signed.at(now) {
            Ok(Standing::Lapsed(_)) => because.push(lapsed(claims, now)),
            Err(_) => because.push(early(claims, now)),
            Ok(Standing::Living(_)) => {}
        }
    }
    if let Some((against, Err(error))) = seen.checked
        && matches!(error, TokenError::Key | TokenError::Signature | TokenError::Issuer | TokenError::Audience)
    {
        because.push(refusal(*error, seen, against));
    }
    because
}

/// Whether the family finds the key by what the header names: GitLab's tokens have a libtrust `kid` and nothing else.
fn naming(family: Family, header: &Header) -> Option<String> {
    if header.x5c.is_some() {
        return None;
    }
    let Some(kid) = header.kid.as_deref() else {
        return Some("it names no key: neither `x5c` nor `kid`".to_owned());
    };
    let libtrust = kid.len() == 59 && kid.split(':').count() == 12;
    match (family, libtrust) {
        (Family::Distribution3, true) => Some(
            "its `kid` is a libtrust fingerprint, which 3.x does not compute: the registry needs a `jwks` file with that \
             `kid`, or `renew = \"resign\"` in front of it"
                .to_owned(),
        ),
        (Family::Distribution2 | Family::Gitlab, false) => {
            Some("its `kid` is no libtrust fingerprint, and there is no `x5c`: the registry finds no key".to_owned())
        }
        _ => None,
    }
}
