//! Client tokens, claim for claim as GitLab writes them: RS256, a libtrust `kid`, `access` with `meta`.

use anyhow::{Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
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
    /// Read once: reading it takes longer than a signature.
    key: KeyPair,
    kid: String,
}

impl Mint {
    /// With the authority's key of this run.
    pub(crate) fn new(keys: &Keys) -> Result<Self> {
        let der = PrivateKeyDer::from_pem_file(&keys.authority_key)?;
        let key = KeyPair::from_pkcs8(der.secret_der()).map_err(|error| anyhow!("the authority's key: {error}"))?;
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
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.kid });
        let part = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| anyhow!("a token could not be signed"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
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
            tokens.extend(share.map_err(|_| anyhow!("a signing thread died"))??);
        }
        Ok(tokens)
    }
}
