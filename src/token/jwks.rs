//! JWK sets (RFC 7517), as operators export them from a token server.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::json::{self, Object};
use super::key_id::KeyId;
use super::keys::KeyError;
use super::public_key::{Kind, PublicKey};

/// A usable entry: the key, the algorithm pinned to it, and its own name.
pub(super) type Entry = (PublicKey, Algorithm, Option<KeyId>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<Object<Jwk>>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Only looked for: a set with private keys must not lie about.
    d: Option<serde::de::IgnoredAny>,
}

/// Reads a set. Entries of other kinds or for other uses are left out (RFC 7517 §5); there may be none left.
pub(super) fn read(content: &[u8]) -> Result<Vec<Entry>, KeyError> {
    let set: Set = json::read(content).map_err(|_| KeyError::Unreadable)?;
    if set.keys.iter().any(|Object(jwk)| jwk.d.is_some()) {
        return Err(KeyError::Private);
    }
    let mut entries = Vec::new();
    for Object(jwk) in &set.keys {
        let signs = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let Some(key) = jwk.key().filter(|_| signs) else { continue };
        let Some(algorithm) = jwk.algorithm(key.kind()) else { continue };
        let own = jwk.kid.as_deref().map(KeyId::parse).transpose()?;
        entries.push((key, algorithm, own));
    }
    Ok(entries)
}

impl Jwk {
    fn key(&self) -> Option<PublicKey> {
        let decode = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => PublicKey::from_rsa(&decode(&self.n)?, &decode(&self.e)?).ok(),
            ("EC", Some("P-256")) => PublicKey::from_point(Kind::P256, &decode(&self.x)?, &decode(&self.y)?).ok(),
            ("EC", Some("P-384")) => PublicKey::from_point(Kind::P384, &decode(&self.x)?, &decode(&self.y)?).ok(),
            _ => None,
        }
    }

    /// What `alg` pins the key to, where it names one that registries take for such a key.
    fn algorithm(&self, kind: Kind) -> Option<Algorithm> {
        match (kind, self.alg.as_deref()) {
            (Kind::Rsa, Some("RS384")) => Some(Algorithm::RS384),
            (Kind::Rsa, Some("RS512")) => Some(Algorithm::RS512),
            (Kind::Rsa, None | Some("RS256"))
            | (Kind::P256, None | Some("ES256"))
            | (Kind::P384, None | Some("ES384")) => Some(kind.pinned()),
            _ => None,
        }
    }
}
