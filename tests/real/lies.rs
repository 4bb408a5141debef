//! The peers behind the gateway when they say what they should not: an authority that lies to some, a registry and a web
//! host that lie to all, each with a secret in what it says.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tidegate::base::clock::Clock;

use crate::canaries::Canaries;
use crate::peer::reply;
use crate::registry::{ISSUER, SERVICE};

/// What registries, and we, add to `exp`.
pub(crate) const LEEWAY: i64 = 60;
/// How long the tokens of `brief` live, leeway included: enough to open an upload on a busy machine.
const BRIEF: i64 = 5;

/// What an authority or a registry may say instead of the truth; `*` is the secret.
pub(crate) const LIES: [(&str, &str); 8] = [
    ("page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 78\r\n\r\n<html>***"),
    (
        "refusal",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"https://*/\"\r\nContent-Length: 0\r\n\r\n",
    ),
    ("elsewhere", "HTTP/1.1 302 Found\r\nLocation: https://a:*@elsewhere.test/?token=*\r\nContent-Length: 0\r\n\r\n"),
    ("trouble", "HTTP/1.1 500 *\r\nX-Trace: *\r\nContent-Length: 0\r\n\r\n"),
    ("no status", "HTTP/1.1 * *\r\n\r\n"),
    ("no HTTP", "*\r\n*: *\r\n\r\n"),
    ("no length", "HTTP/1.1 200 OK\r\nContent-Length: *\r\n\r\n"),
    ("no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n*\r\n*"),
];

/// A P-256 key with its certificate, in PEM, and the certificate's names.
pub(crate) struct Key {
    pub(crate) pair: KeyPair,
    pub(crate) certificate: String,
}

impl Key {
    /// A new one, whose secret is one of the canaries: the file's text, its bytes, and the number itself.
    pub(crate) fn new(what: &str, canaries: &mut Canaries) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let names = ["registry.test", "exchange.test", "web.test", "liar.test"].map(str::to_owned).to_vec();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap().pem();
        let der = pair.serialize_der();
        for line in pair.serialize_pem().lines().filter(|line| line.len() > 32 && !line.starts_with('-')) {
            canaries.know(what, line.as_bytes());
        }
        canaries.know(what, &der);
        // PKCS#8 around RFC 5915: the number stands behind 36 bytes that all such keys share.
        canaries.know(what, &der[36..68]);
        Self { pair, certificate }
    }
}

fn fill(lie: &str, secret: &str) -> Vec<u8> {
    lie.replace('*', secret).into_bytes()
}

/// The user of a request's Basic credentials.
fn login(head: &str) -> Option<String> {
    let value = head.lines().find_map(|line| line.strip_prefix("authorization: Basic "))?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
    pair.split_once(':').map(|(user, _)| user.to_owned())
}

/// Tokens that were handed out.
pub(crate) type Issued = Arc<Mutex<Vec<String>>>;

/// The authority: `ada` and `brief` get tokens, everybody else is lied to or refused. What it handed out is kept.
pub(crate) fn authority(key: &Key, canaries: &mut Canaries) -> (impl Fn(&str) -> Vec<u8> + use<>, Issued) {
    let signing = EncodingKey::from_ec_der(&key.pair.serialize_der());
    // By which every registry knows the key.
    let mut header = Header::new(Algorithm::ES256);
    let certificate = CertificateDer::from_pem_slice(key.certificate.as_bytes()).unwrap();
    header.x5c = Some(vec![BASE64_STANDARD.encode(certificate)]);
    let lies = LIES.map(|(name, lie)| (name, fill(lie, &canaries.plant(&format!("the authority's {name}")))));
    let extra =
        ["refresh_token", "a cookie", "a claim"].map(|what| canaries.plant(&format!("{what} of the authority")));
    let opaque = canaries.plant("a token of the authority that is none");
    let issued = Issued::default();
    let kept = Arc::clone(&issued);
    let answer = move |head: &str| {
        let login = login(head).unwrap_or_default();
        if let Some((_, lie)) = lies.iter().find(|(name, _)| *name == login) {
            return lie.clone();
        }
        let cookie = [("Set-Cookie", extra[1].as_str()), ("Content-Type", "application/json")];
        let now = Clock::System.now().0;
        let life = match login.as_str() {
            "ada" => 300,
            "brief" => BRIEF - LEEWAY,
            "opaque" => return reply("200 OK", &cookie, &json!({ "token": opaque }).to_string()),
            _ => return reply("401 Unauthorized", &cookie, "{\"errors\":[]}"),
        };
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "sub": login, "iat": now - LEEWAY, "nbf": now - LEEWAY, "exp": now + life,
            "jti": now.to_string(), "auth_type": "personal_access_token",
            "access": [{ "type": "repository", "name": "group/project", "actions": ["pull", "push"],
                         "meta": { "secret": extra[2] } }],
        });
        let token = jsonwebtoken::encode(&header, &claims, &signing).unwrap();
        kept.lock().unwrap().push(token.clone());
        let body = json!({ "token": token, "access_token": token, "refresh_token": extra[0] });
        reply("200 OK", &cookie, &body.to_string())
    };
    (answer, issued)
}

/// A registry that lies: which lie it tells is the repository's or the tag's name.
pub(crate) fn liar(what: &str, canaries: &mut Canaries) -> impl Fn(&str) -> Vec<u8> + use<> {
    let lies =
        LIES.map(|(name, lie)| (name.replace(' ', "-"), fill(lie, &canaries.plant(&format!("{what}'s {name}")))));
    let opened = fill(
        "HTTP/1.1 202 Accepted\r\nLocation: https://a:*@elsewhere.test/*?_state=*\r\nSet-Cookie: *\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        &canaries.plant(&format!("{what}'s Location")),
    );
    move |head: &str| {
        let line = head.lines().next().unwrap_or_default();
        lies.iter()
            .find(|(name, _)| line.contains(name.as_str()))
            .map_or_else(|| opened.clone(), |(_, lie)| lie.clone())
    }
}
