//! Keys made at run time, and what a token signed with them looks like.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{CertificateParams, KeyPair};
use tidegate::token::key_id::KeyId;
use tidegate::token::keys::VerifyingKeys;
use tidegate::token::verifier::Verifier;

/// `iss` and `aud` of a token that is right.
pub const ISSUER: &str = "gitlab-issuer";
pub const SERVICE: &str = "container_registry";
/// The header of a token that is right.
pub const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;
/// Its payload, as GitLab writes it.
pub const PAYLOAD: &str = r#"{"iss":"gitlab-issuer","aud":"container_registry","sub":"ada","iat":1800000000,"nbf":1799999995,"exp":1800000300,"jti":"0b9d5a55","access":[{"type":"repository","name":"group/project","actions":["pull","push"]}]}"#;

/// A key pair with a certificate of its own.
pub struct Key {
    encoding: EncodingKey,
    /// libtrust's name for it.
    pub kid: String,
    /// Its certificate as an entry of `x5c`.
    pub x5c: String,
    public: String,
}

impl Key {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
        let encoding = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a signing key");
        let certificate = CertificateParams::default().self_signed(&pair).expect("a certificate");
        let kid = KeyId::libtrust(&rcgen::PublicKeyData::subject_public_key_info(&pair)).as_str().to_owned();
        Self { encoding, kid, x5c: STANDARD.encode(certificate.der()), public: pair.public_key_pem() }
    }

    /// The one that [`verifier`] trusts.
    pub fn trusted() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::new)
    }

    /// One that nobody trusts.
    pub fn foreign() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::new)
    }

    /// Any header over any payload, signed with ES256 whatever the header says.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, Algorithm::ES256);
        format!("{message}.{}", signature.expect("a signature"))
    }
}

/// A token that is right; the same one for the whole run.
pub fn token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| Key::trusted().sign(HEADER, PAYLOAD))
}

/// What trusts [`Key::trusted`] alone.
pub fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let mut keys = VerifyingKeys::default();
        keys.add(Key::trusted().public.as_bytes()).expect("a key");
        let (issuer, service) = (ISSUER.to_owned(), SERVICE.to_owned());
        Verifier { keys, issuer, service, leeway: Duration::from_secs(60) }
    })
}
