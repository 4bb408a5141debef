//! Keys, certificates and tokens for tests, made at run time: no key lies in the repository.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::keys::VerifyingKeys;
use super::verifier::Verifier;
use crate::base::clock::Timestamp;

/// The moment at which the tests' tokens are looked at.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);

/// A key pair that signs anything it is told to.
pub(crate) struct TestKey {
    pub(crate) pair: KeyPair,
    encoding: EncodingKey,
    pub(crate) algorithm: Algorithm,
}

impl TestKey {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            _ => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
        };
        let pair = pair.unwrap();
        let pem = pair.serialize_pem();
        let encoding = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        Self { pair, encoding: encoding.unwrap(), algorithm }
    }

    /// The key that the verifier of [`verifier`] trusts.
    pub(crate) fn trusted() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| Self::new(Algorithm::RS256))
    }

    /// A key that nobody trusts.
    pub(crate) fn foreign() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| Self::new(Algorithm::RS256))
    }

    pub(crate) fn p256() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| Self::new(Algorithm::ES256))
    }

    pub(crate) fn p384() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| Self::new(Algorithm::ES384))
    }

    pub(crate) fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    pub(crate) fn private_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// A self-signed certificate that may issue nothing.
    pub(crate) fn certificate(&self) -> rcgen::Certificate {
        params("leaf").self_signed(&self.pair).unwrap()
    }

    /// A self-signed certificate that may issue others.
    pub(crate) fn authority(&self, name: &str) -> rcgen::Certificate {
        authority(name).self_signed(&self.pair).unwrap()
    }

    /// A certificate of this key under the authority `name` of `issuer`.
    pub(crate) fn issued_by(&self, issuer: &Self, name: &str, params: &CertificateParams) -> rcgen::Certificate {
        params.signed_by(&self.pair, &Issuer::new(authority(name), &issuer.pair)).unwrap()
    }

    /// Any header over any payload, signed as `algorithm` says whatever the header says.
    pub(crate) fn sign_raw(&self, algorithm: Algorithm, header: &str, payload: &[u8]) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// A token of these claims, naming no key.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": format!("{:?}", self.algorithm), "typ": "JWT" });
        self.sign_raw(self.algorithm, &header.to_string(), claims.to_string().as_bytes())
    }
}

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// An `x5c` of these certificates.
pub(crate) fn x5c(chain: &[&rcgen::Certificate]) -> Value {
    chain.iter().map(|certificate| STANDARD.encode(certificate.der())).collect()
}

/// Claims as GitLab writes them for a user who may pull and push `group/project`.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "gitlab-issuer", "aud": "container_registry", "sub": "ada", "auth_type": "gitlab_or_ldap",
        "jti": "0b9d5a55-5d0f-4b5e-9a53-0d9a3f3a8f10",
        "iat": NOW.0, "nbf": NOW.0 - 5, "exp": NOW.0 + 300,
        "access": [{ "type": "repository", "name": "group/project", "actions": ["pull", "push"],
                     "meta": { "project_path": "group/project", "project_id": 7 } }],
    })
}

/// [`claims`] with one of them set to something else, or taken out with `null`.
pub(crate) fn claims_but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let all = claims.as_object_mut().unwrap();
    if value.is_null() {
        all.remove(name)
    } else {
        all.insert(name.to_owned(), value)
    };
    claims
}

pub(crate) fn verifier(files: &[&str]) -> Verifier {
    let mut keys = VerifyingKeys::default();
    for file in files {
        keys.add(file.as_bytes()).unwrap();
    }
    Verifier {
        keys,
        issuer: "gitlab-issuer".to_owned(),
        service: "container_registry".to_owned(),
        leeway: Duration::from_secs(60),
    }
}
