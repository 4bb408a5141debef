//! Keys and tokens, made at run time: what the authority signs, and what it never would.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData};
use serde_json::{Value, json};
use tidegate::token::key_id::KeyId;

/// `iss` of every token that is right.
pub(crate) const ISSUER: &str = "gitlab-issuer";
/// `aud` of every token that is right.
pub(crate) const SERVICE: &str = "container_registry";
/// How long the authority's tokens live, in seconds; GitLab's own default.
pub(crate) const LIFE: i64 = 300;

/// A key pair with a certificate of its own.
pub(crate) struct Key {
    pub(crate) pair: KeyPair,
    pub(crate) certificate: String,
    /// Its public key, PEM, as an attacker can have it.
    pub(crate) public: String,
    encoding: EncodingKey,
    algorithm: Algorithm,
}

impl Key {
    fn rsa() -> Self {
        let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let encoding = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self::of(pair, encoding, Algorithm::RS256)
    }

    fn p256() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let encoding = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self::of(pair, encoding, Algorithm::ES256)
    }

    fn of(pair: KeyPair, encoding: EncodingKey, algorithm: Algorithm) -> Self {
        let certificate = CertificateParams::default().self_signed(&pair).unwrap().pem();
        Self { certificate, public: pair.public_key_pem(), encoding, algorithm, pair }
    }

    /// The authority's, as GitLab has one.
    pub(crate) fn authority() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::rsa)
    }

    /// Somebody's whom nobody trusts.
    pub(crate) fn foreign() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::rsa)
    }

    /// The gateway's own, that the registry trusts.
    pub(crate) fn signing() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::p256)
    }

    /// libtrust's name for it.
    pub(crate) fn kid(&self) -> String {
        KeyId::libtrust(&self.pair.subject_public_key_info()).as_str().to_owned()
    }

    /// Signs a payload as GitLab does.
    pub(crate) fn sign(&self, payload: &str) -> String {
        let header = json!({ "alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.kid() });
        self.sign_as(self.algorithm, &header.to_string(), payload.as_bytes())
    }

    /// Signs any payload under any header, with `algorithm` whatever the header says.
    pub(crate) fn sign_as(&self, algorithm: Algorithm, header: &str, payload: &[u8]) -> String {
        let message = message(header, payload);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// Whether it signed this token. What the token says is another matter.
    pub(crate) fn signed(&self, token: &str) -> bool {
        let key = match self.algorithm {
            Algorithm::RS256 => DecodingKey::from_rsa_pem(self.public.as_bytes()),
            _ => DecodingKey::from_ec_pem(self.public.as_bytes()),
        };
        let mut anything = Validation::new(self.algorithm);
        anything.required_spec_claims.clear();
        (anything.validate_exp, anything.validate_aud) = (false, false);
        jsonwebtoken::decode::<Value>(token, &key.unwrap(), &anything).is_ok()
    }
}

/// Header and payload, not signed yet.
pub(crate) fn message(header: &str, payload: &[u8]) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// The payload of a token as it was written, whoever signed it.
pub(crate) fn payload(token: &str) -> String {
    let part = token.split('.').nth(1).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The claims of a token, whoever signed it.
pub(crate) fn claims(token: &str) -> Value {
    serde_json::from_str(&payload(token)).unwrap()
}

/// Claims as GitLab writes them at `now` for a user who holds `actions` in `repository`.
pub(crate) fn claims_of(subject: &str, repository: &str, actions: &[&str], now: i64) -> Value {
    json!({
        "iss": ISSUER, "aud": SERVICE, "sub": subject, "auth_type": "personal_access_token", "jti": unique(),
        "iat": now, "nbf": now - 5, "exp": now + LIFE,
        "access": [{ "type": "repository", "name": repository, "actions": actions }],
    })
}

/// A name that nothing else has.
pub(crate) fn unique() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server's certificate for `registry.test` and its key, both PEM, and the root that clients trust.
pub(crate) struct Server {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) root: rustls::pki_types::CertificateDer<'static>,
}

impl Server {
    pub(crate) fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::make)
    }

    fn make() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let (ca, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = params.self_signed(&ca).unwrap().der().clone();
        let names = ["registry.test", "gitlab.test", "localhost"].map(str::to_owned);
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &Issuer::new(params, &ca)).unwrap();
        Self { certificate: leaf.pem(), key: key.serialize_pem(), root }
    }
}
