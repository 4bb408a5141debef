//! The registry token: what we sign for the registry, taken by distribution 2.8, 3.x and GitLab's fork alike.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroize;

use super::certificate::{Certificate, Window};
use super::claims::{AccessClaim, Claims};
use super::key_id::KeyId;
use super::public_key::PublicKey;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;

/// How far `nbf` lies before `iat`, so that a registry whose clock is a little behind takes the token at once.
const BACKDATE: Duration = Duration::from_secs(5);

/// Why a key cannot sign registry tokens. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MinterError {
    /// The private key file.
    #[error("not a PEM private key of P-256 or RSA (2048 bits and more)")]
    Key,
    /// The certificate file.
    #[error("not a PEM certificate chain, the leaf first")]
    Certificate,
    /// The leaf's public key is another one.
    #[error("the certificate is for another key")]
    Mismatch,
    /// Signing failed.
    #[error("the token could not be signed")]
    Sign,
    /// The trial signature was not made, or the certificate does not vouch for it.
    #[error(
        "a token signed on trial does not verify: this key, or the cryptography of this build or machine, is broken"
    )]
    Trial,
}

/// Signs registry tokens: ES256 or RS256, `x5c` of the chain, libtrust `kid`, `aud` a string, integer times.
///
/// `x5c` because it is the one way to name a key that distribution 2.8, 3.x and GitLab's fork have in common; `kid` for
/// those who read logs. The registry finds the chain's root in its `rootcertbundle`.
#[derive(Clone)]
pub struct Minter {
    shared: Arc<Shared>,
}

struct Shared {
    key: Key,
    id: KeyId,
    /// The base64url header, the same for all tokens.
    header: String,
    ttl: Duration,
    window: Window,
}

/// The key, read once: jsonwebtoken would parse and check it anew for each signature, which takes longer than to sign.
enum Key {
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A minted token and the moment it ends.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The compact JWT.
    pub token: Secret,
    /// `iat`
    pub issued_at: Timestamp,
    /// `exp`
    pub expires: Timestamp,
}

impl Minter {
    /// Reads a key (PEM, PKCS#8, SEC1 or PKCS#1) and its certificate chain (PEM, leaf first), and signs a token on
    /// trial.
    ///
    /// # Errors
    /// [`MinterError`].
    pub fn new(key: &[u8], certificates: &[u8], ttl: Duration) -> Result<Self, MinterError> {
        let key = Key::read(key)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let chain = chain.map_err(|_| MinterError::Certificate)?;
        let read = chain.iter().map(|der| Certificate::parse(der));
        let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|_| MinterError::Certificate)?;
        let leaf = read.first().ok_or(MinterError::Certificate)?;
        if leaf.key.spki() != key.public()?.spki() {
            return Err(MinterError::Mismatch);
        }
        Self::on_trial(key, &chain, &read, ttl)
    }

    /// Puts it together and signs once, so that what cannot sign is known at the start and not from the first request.
    fn on_trial(
        key: Key,
        chain: &[CertificateDer<'_>],
        read: &[Certificate],
        ttl: Duration,
    ) -> Result<Self, MinterError> {
        let leaf = &read.first().ok_or(MinterError::Certificate)?.key;
        let id = KeyId::libtrust(leaf.spki());
        let header = Header {
            typ: "JWT",
            alg: if matches!(key, Key::Rsa(_)) { "RS256" } else { "ES256" },
            kid: id.as_str(),
            x5c: chain.iter().map(|der| STANDARD.encode(der)).collect(),
        };
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(|_| MinterError::Certificate)?);
        let window = read.iter().fold(Window::ALWAYS, |window, certificate| window.and(certificate.window));
        let minter = Self { shared: Arc::new(Shared { key, id, header, ttl, window }) };
        if minter.is_proved_by(leaf) { Ok(minter) } else { Err(MinterError::Trial) }
    }

    /// Whether a token that it signs verifies with the certificate's key. The token lived in 1970 and grants nothing.
    fn is_proved_by(&self, certified: &PublicKey) -> bool {
        let Ok(nobody) = Claims::parse(br#"{"iss":"","exp":0}"#) else { return false };
        let Ok(minted) = self.mint(&nobody, "", &[], Timestamp(0)) else { return false };
        let parts = std::str::from_utf8(minted.token.expose()).ok().and_then(|token| token.rsplit_once('.'));
        parts.is_some_and(|(message, signature)| {
            certified.verifies(certified.kind().pinned(), message.as_bytes(), signature)
        })
    }

    /// Whether a signature costs enough (RSA) to be made off the connection's core.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        matches!(self.shared.key, Key::Rsa(_))
    }

    /// How long a minted token lives.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.shared.ttl
    }

    /// The libtrust `kid` of the key, as it stands in the header.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.shared.id
    }

    /// When the first certificate of the chain runs out (and with it every token: registries check the dates of `x5c`).
    #[must_use]
    pub fn certificate_expires(&self) -> Timestamp {
        self.shared.window.to
    }

    /// When the last certificate of the chain comes into force.
    #[must_use]
    pub fn certificate_begins(&self) -> Timestamp {
        self.shared.window.from
    }

    /// Mints for `source`'s holder: `iss`, `sub`, `auth_type`, `user` copied, `aud` = `service`, `access` as given
    /// (already narrowed), new `jti`, `iat` = now, `nbf` = now − 5 s, `exp` = now + ttl.
    ///
    /// # Errors
    /// [`MinterError::Sign`].
    pub fn mint(
        &self,
        source: &Claims,
        service: &str,
        access: &[AccessClaim],
        now: Timestamp,
    ) -> Result<Minted, MinterError> {
        let expires = now.plus(self.shared.ttl);
        let payload = Payload {
            jti: unique()?,
            iss: &source.issuer,
            aud: service,
            sub: source.subject.as_deref(),
            iat: now.0,
            nbf: now.minus(BACKDATE).0,
            exp: expires.0,
            auth_type: source.auth_type.as_deref(),
            user: source.user.as_deref(),
            access: access.iter().map(Access::from).collect(),
        };
        let payload = serde_json::to_vec(&payload).map_err(|_| MinterError::Sign)?;
        let mut token = String::with_capacity(self.shared.header.len() + payload.len() * 4 / 3 + 360);
        token.push_str(&self.shared.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.shared.key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Minted { token: Secret::new(token.into_bytes()), issued_at: now, expires })
    }
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter").field("kid", &self.shared.id.as_str()).finish_non_exhaustive()
    }
}

impl Key {
    fn read(pem: &[u8]) -> Result<Self, MinterError> {
        let mut der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| MinterError::Key)?;
        let key = Self::from_der(der.secret_der());
        der.zeroize();
        key
    }

    fn from_der(der: &[u8]) -> Result<Self, MinterError> {
        if let Ok(key) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Ok(Self::Ecdsa(key));
        }
        let key = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).map_err(|_| MinterError::Key)?;
        Ok(Self::Rsa(Box::new(key)))
    }

    fn public(&self) -> Result<PublicKey, MinterError> {
        let spki = match self {
            Self::Ecdsa(key) => key.public_key().as_der(),
            Self::Rsa(key) => key.public_key().as_der(),
        };
        // This also refuses an RSA key that is too short.
        PublicKey::from_spki(spki.map_err(|_| MinterError::Key)?.as_ref()).map_err(|_| MinterError::Key)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, MinterError> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key) => {
                key.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| MinterError::Sign)
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.map(|()| signature).map_err(|_| MinterError::Sign)
            }
        }
    }
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
    x5c: Vec<String>,
}

#[derive(Serialize)]
struct Payload<'a> {
    jti: String,
    iss: &'a str,
    /// A string: distribution 2.8 takes no array.
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    access: Vec<Access<'a>>,
}

#[derive(Serialize)]
struct Access<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    name: &'a str,
    actions: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

impl<'a> From<&'a AccessClaim> for Access<'a> {
    fn from(claim: &'a AccessClaim) -> Self {
        Self {
            r#type: &claim.kind,
            class: claim.class.as_deref(),
            name: &claim.name,
            actions: claim.actions.iter().map(|action| action.as_str()).collect(),
            meta: claim.meta.as_deref(),
        }
    }
}

/// A random UUID (RFC 9562 §5.4).
fn unique() -> Result<String, MinterError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| MinterError::Sign)?;
    let random = u128::from_be_bytes(bytes) & 0xffffffff_ffff_0fff_3fff_ffffffffffff;
    let bits = random | 0x00000000_0000_4000_8000_000000000000;
    let group = |shift: u32, digits: u32| bits >> shift & ((1 << (4 * digits)) - 1);
    let (a, b, c, d, e) = (group(96, 8), group(80, 4), group(64, 4), group(48, 4), group(0, 12));
    Ok(format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}"))
}

#[cfg(test)]
mod tests;
