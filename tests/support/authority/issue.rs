//! The tokens themselves, claim for claim as GitLab writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use jsonwebtoken::{Algorithm, Header, encode};
use serde_json::{Map, Value, json};

use super::scope::Granted;
use super::{Kind, Life, Login, Shared};

/// GitLab's default for `container_registry_token_expire_delay`, in seconds.
const USUAL_LIFE: u64 = 300;
/// What registries add to `exp`.
const LEEWAY: u64 = 60;

/// A token, its `exp`, and the body GitLab would answer with.
pub(super) struct Answer {
    pub(super) token: String,
    pub(super) exp: u64,
    pub(super) body: Value,
}

/// Issues one for `access`.
pub(super) fn issue(shared: &Shared, life: Life, login: &Login, service: &str, access: &[Granted]) -> Result<Answer> {
    let now = now();
    // A token that dies on cue looks like one that was issued minutes ago, so that all its claims agree.
    let (issued, exp, told) = match life {
        Life::Plain(seconds) => (now, now + seconds, None),
        Life::DiesOnCue(left) => (now + left - LEEWAY - USUAL_LIFE, now + left - LEEWAY, None),
        Life::DiesAsTold(left) => (now + left - LEEWAY - USUAL_LIFE, now + left - LEEWAY, Some(now + left - LEEWAY)),
    };
    let mut claims = json!({
        "iss": shared.voice.issuer, "aud": service, "jti": random_id()?,
        "iat": issued, "nbf": issued - 5, "exp": exp,
        "auth_type": login.auth_type,
        "access": access.iter().map(entry).collect::<Vec<_>>(),
        "user": user_token(shared, login, now)?,
    });
    if let (Kind::User { .. }, Some(claims)) = (login.kind, claims.as_object_mut()) {
        claims.insert("sub".into(), json!(login.name));
    }
    let token = sign(shared, &claims)?;
    let mut body = json!({ "token": token });
    if let (Some(issued_at), Some(body)) = (told, body.as_object_mut()) {
        body.insert("expires_in".into(), json!(LEEWAY));
        body.insert("issued_at".into(), json!(rfc3339(issued_at)));
    }
    Ok(Answer { token, exp, body })
}

/// GitLab describes the user in a token of its own, which lives a minute and which registries only hand on.
fn user_token(shared: &Shared, login: &Login, now: u64) -> Result<String> {
    let mut info = Map::new();
    info.insert("token_type".into(), json!(login.auth_type));
    info.insert("username".into(), json!(login.name));
    match login.kind {
        Kind::User { id } => info.insert("user_id".into(), json!(id)),
        Kind::DeployToken { id } => info.insert("deploy_token_id".into(), json!(id)),
    };
    let claims = json!({
        "iss": shared.voice.issuer, "jti": random_id()?, "iat": now, "nbf": now - 5, "exp": now + 60, "user_info": info,
    });
    sign(shared, &claims)
}

fn entry(granted: &Granted) -> Value {
    let root = granted.name.split('/').next().unwrap_or_default();
    json!({
        "type": granted.kind, "name": granted.name, "actions": granted.actions,
        "meta": {
            "project_path": granted.name.to_lowercase(), "project_id": 7, "root_namespace_id": root.len(),
            "tag_deny_access_patterns": { "push": ["^release-"], "delete": ["^release-"] },
        },
    })
}

fn sign(shared: &Shared, claims: &Value) -> Result<String> {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(shared.voice.kid.clone());
    Ok(encode(&header, claims, &shared.key)?)
}

fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Seconds since the epoch, by the clock registries and clients go by.
#[expect(clippy::disallowed_methods, reason = "the double issues tokens to real programs, which read the real clock")]
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

/// The civil date of a moment (Howard Hinnant's `civil_from_days`), in RFC 3339.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}
