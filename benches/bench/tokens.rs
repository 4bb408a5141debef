//! Client tokens, claim for claim as GitLab writes them: RS256, a libtrust `kid`, `access` with `meta`.

use anyhow::Result;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use tidegate::base::clock::Clock;

use crate::keys::Keys;

/// `iss`, as Tidegate is told.
pub(crate) const ISSUER: &str = "gitlab-issuer";
/// `aud`, as Tidegate is told.
pub(crate) const SERVICE: &str = "container_registry";
/// The one repository of a run.
pub(crate) const REPOSITORY: &str = "bench/app";
/// Longer than any run.
const LIFE: i64 = 4 * 3600;

/// Signs as the authority.
pub(crate) struct Mint {
    key: EncodingKey,
    kid: String,
}

impl Mint {
    /// With the authority's key of this run.
    pub(crate) fn new(keys: &Keys) -> Result<Self> {
        let key = EncodingKey::from_rsa_pem(&std::fs::read(&keys.authority_key)?)?;
        Ok(Self { key, kid: keys.authority_kid.clone() })
    }

    /// The `number`-th user's token to pull from and push to the repository.
    pub(crate) fn token(&self, number: usize) -> Result<String> {
        let now = Clock::System.now().0;
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "sub": format!("user-{number}"), "jti": format!("bench-{number}"),
            "iat": now, "nbf": now - 5, "exp": now + LIFE, "auth_type": "personal_access_token",
            "access": [{
                "type": "repository", "name": REPOSITORY, "actions": ["pull", "push"],
                "meta": { "project_path": REPOSITORY, "project_id": 7, "root_namespace_id": 5 },
            }],
        });
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        Ok(encode(&header, &claims, &self.key)?)
    }

    /// So many users' tokens, made on all cores: a signature takes a millisecond.
    pub(crate) fn tokens(&self, count: usize) -> Result<Vec<String>> {
        let cores = std::thread::available_parallelism()?.get();
        let share = count.div_ceil(cores).max(1);
        let made = std::thread::scope(|scope| {
            let shares = (0..count).step_by(share).map(|first| first..count.min(first + share));
            let threads: Vec<_> =
                shares.map(|share| scope.spawn(|| share.map(|number| self.token(number)).collect())).collect();
            threads.into_iter().map(|thread| thread.join()).collect::<Vec<std::thread::Result<Result<Vec<String>>>>>()
        });
        let mut tokens = Vec::with_capacity(count);
        for share in made {
            tokens.extend(share.map_err(|_| anyhow::anyhow!("a signing thread died"))??);
        }
        Ok(tokens)
    }
}
