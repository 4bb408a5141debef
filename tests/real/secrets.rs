//! Nothing secret is written anywhere: the program at its most talkative, between a real registry, an authority and
//! peers that lie, is given a secret in every place where one can stand, and all it says is searched.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::base::clock::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::canaries::Canaries;
use crate::gateway::{Files, PROGRAM, signal, started, within};
use crate::inputs::{Ask, PONG, frames, malformed, requests};
use crate::lies::{Key, LEEWAY, LIES, authority, liar};
use crate::peer::Peer;
use crate::registry::{ISSUER, Registry, Release, SERVICE, free_port};

const TOKENS: &str = "/jwt/auth?service=container_registry&scope=repository:group/project:pull,push";
const UPLOADS: &str = "/v2/group/project/blobs/uploads/";
/// How clients come in, and how the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// HTTP/1.1 without TLS; JSON lines.
    Plain,
    /// HTTP/1.1 and HTTP/2 over TLS; lines for people.
    Tls,
}

/// Everything there is, and what was planted so far.
struct Stage {
    door: Door,
    port: u16,
    admin: u16,
    canaries: Canaries,
    tls: Option<TlsConnector>,
}

fn configuration(stage: &Stage, authority: SocketAddr, registry: u16, liar: SocketAddr, web: SocketAddr) -> String {
    let (port, admin) = (stage.port, stage.admin);
    let (tls, format) = match stage.door {
        Door::Plain => ("", "json"),
        Door::Tls => ("tls = { certificate = 'tls.crt', key = 'tls.key' }", "text"),
    };
    let registry = SocketAddr::from(([127, 0, 0, 1], registry));
    let site = |host: &str, renew: &str, origin: SocketAddr| {
        format!(
            "[sites.'{host}']\nauthority = 'gitlab'\nrenew = '{renew}'\nrealm = 'https://{host}/jwt/auth'\n\
             [sites.'{host}'.registry]\norigins = ['http://{origin}']\n"
        )
    };
    format!(
        "[listeners.public]\naddress = '127.0.0.1:{port}'\n{tls}\n[listeners.admin]\naddress = '127.0.0.1:{admin}'\n\
         [authorities.gitlab]\nkind = 'gitlab'\nurl = 'http://{authority}'\nissuer = '{ISSUER}'\n\
         service = '{SERVICE}'\ntrusted = ['authority.crt']\n{}{}{}\
         [sites.'web.test']\nauthority = 'gitlab'\nrealm = 'https://web.test/jwt/auth'\nproxy = 'http://{web}'\n\
         [signing]\nkey = 'signing.key'\ncertificate = 'signing.crt'\n[tickets]\nkeys = ['tickets.key']\n\
         [tokens]\nnegative_ttl = '0s'\n[log]\nformat = '{format}'\nlevel = 'trace,h2=trace,hyper_util=trace'\n",
        site("registry.test", "resign", registry),
        site("exchange.test", "exchange", registry),
        site("liar.test", "resign", liar),
    )
}

impl Stage {
    /// Sends bytes and gives what comes back.
    async fn exchange(&self, bytes: &[u8], protocol: &[u8]) -> String {
        match self.encrypted(protocol).await {
            Some(stream) => within(talk(stream, bytes)).await,
            None => within(talk(self.connect().await, bytes)).await,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    async fn encrypted(&self, protocol: &[u8]) -> Option<TlsStream<TcpStream>> {
        let mut config = ClientConfig::clone(self.tls.as_ref()?.config());
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("registry.test").unwrap();
        Some(TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await.unwrap())
    }

    /// One request over HTTP/1.1, and where there is TLS over HTTP/2 as well; its own secret must not come back.
    async fn send(&self, ask: &Ask) -> String {
        let answer = self.exchange(ask.text().as_bytes(), b"http/1.1").await;
        self.answers_without_secrets(ask, &answer);
        if self.tls.is_some() {
            let answer = self.exchange_h2(ask).await;
            self.answers_without_secrets(ask, &answer);
        }
        answer
    }

    fn answers_without_secrets(&self, ask: &Ask, answer: &str) {
        // An answer that cannot be passed on may be cut off before its first byte.
        assert!(ask.relayed || answer.starts_with("HTTP/"), "{}: no answer: {answer:?}", ask.what);
        let back = self.canaries.in_text(answer);
        assert!(ask.relayed || back.is_empty(), "{}: {back:?} came back: {answer}", ask.what);
    }

    async fn exchange_h2(&self, ask: &Ask) -> String {
        let uri = format!("https://{}{}", ask.host, ask.target);
        let mut request = http::Request::builder().method(ask.method).uri(uri);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(ask.body.clone()))).unwrap();
        let io = TokioIo::new(self.encrypted(b"h2").await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let driving = tokio::spawn(connection);
        let answer = within(async {
            // A refusal may end the stream; that is an answer.
            let Ok(response) = sender.send_request(request).await else { return "HTTP/2 reset".to_owned() };
            let (head, body) = response.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            format!("HTTP/2 {} {:?}\r\n\r\n{}", head.status, head.headers, String::from_utf8_lossy(&body))
        })
        .await;
        driving.abort();
        answer
    }

    /// A token for `login` from `host`, over HTTP/1.1.
    async fn token(&mut self, host: &'static str, login: &str) -> String {
        let password = self.canaries.plant(&format!("the password of {login} at {host}"));
        let ask = Ask::new("a login", host, "GET", TOKENS).basic(login, &password);
        let answer = self.exchange(ask.text().as_bytes(), b"http/1.1").await;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no token: {answer}"));
        body["token"].as_str().unwrap().to_owned()
    }

    /// Opens an upload; gives its Location, whose secrets are known from then on.
    async fn open(&mut self, host: &'static str, token: &str) -> String {
        let ask = Ask::new("an upload", host, "POST", UPLOADS).bearer(token);
        let answer = self.exchange(ask.text().as_bytes(), b"http/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        self.know_location(&answer)
    }

    fn know_location(&mut self, answer: &str) -> String {
        let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().to_owned();
        for pair in location.split_once('?').unwrap().1.split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            self.canaries.know(name, value.trim_end_matches("%3D").as_bytes());
        }
        location
    }

    /// A push whose token dies under it.
    async fn rescue(&mut self, host: &'static str) {
        let token = self.token(host, "brief").await;
        let location = self.open(host, &token).await;
        let claims: Value = serde_json::from_slice(
            &base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap(),
        )
        .unwrap();
        let dies = claims["exp"].as_i64().unwrap() + LEEWAY;
        while Clock::System.now().0 <= dies {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let ask = Ask::new("a rescue", host, "PATCH", &location).bearer(&token).body("layer");
        let answer = self.exchange(ask.text().as_bytes(), b"http/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        let location = self.know_location(&answer);
        let (path, _) = location.split_once('?').unwrap();
        for query in ["", "?_tidegate=x&_tidegate=y", "?_state=x", "?_tidegate=%zz"] {
            let secret = self.canaries.plant(&format!("{query} at {host}"));
            let target = format!("{path}{}", query.replace(['x', 'y'], &secret));
            self.send(&Ask::new("a damaged Location", host, "PATCH", &target).bearer(&token)).await;
            self.send(&Ask::new("a damaged Location", host, "GET", &format!("{location}{secret}")).bearer(&token))
                .await;
        }
        self.send(&Ask::new("a lapsed token", host, "GET", "/v2/group/project/manifests/latest").bearer(&token)).await;
    }

    /// Everything a client can say, and everything a peer can answer.
    async fn play(&mut self) {
        let hosts = ["registry.test", "exchange.test"];
        for ask in requests(&mut self.canaries) {
            self.send(&ask).await;
        }
        for (what, text) in malformed(&mut self.canaries) {
            let answer = self.exchange(text.as_bytes(), b"http/1.1").await;
            let back = self.canaries.in_text(&answer);
            assert!(back.is_empty(), "{what}: {back:?} came back: {answer}");
        }
        if let Some(tls) = self.tls.clone() {
            let name = format!("{}.test", self.canaries.plant("a server name"));
            let name = ServerName::try_from(name).unwrap();
            assert!(within(tls.connect(name, self.connect().await)).await.is_err(), "another's certificate was taken");
            let secret = self.canaries.plant("HTTP where TLS is spoken");
            let text = format!("GET /v2/?token={secret} HTTP/1.1\r\nHost: {secret}\r\nCookie: {secret}\r\n\r\n");
            within(talk(self.connect().await, text.as_bytes())).await;
            for (_, bytes) in frames(&mut self.canaries) {
                self.exchange(&bytes, b"h2").await;
            }
        }
        for host in hosts {
            let token = self.token(host, "ada").await;
            let ask = Ask::new("a living token", host, "GET", "/v2/group/project/manifests/latest");
            assert!(self.send(&ask.bearer(&token)).await.starts_with("HTTP/1.1 404 "));
            for (what, forged) in forged(&token, &mut self.canaries) {
                let ask = Ask::new(what, host, "GET", "/v2/group/project/manifests/latest").bearer(&forged);
                assert!(self.send(&ask).await.starts_with("HTTP/1.1 401 "), "{what}");
            }
            self.rescue(host).await;
            for name in LIES.map(|(name, _)| name).into_iter().chain(["opaque", "nobody"]) {
                let password = self.canaries.plant(&format!("the password of {name} at {host}"));
                self.send(&Ask::new(name, host, "GET", TOKENS).basic(name, &password).relayed()).await;
                let form = format!("grant_type=password&service={SERVICE}&username={name}&password={password}");
                self.send(&Ask::new(name, host, "POST", "/jwt/auth").body(&form).relayed()).await;
            }
        }
        let token = self.token("liar.test", "ada").await;
        for (name, _) in LIES {
            let name = name.replace(' ', "-");
            let target = format!("/v2/group/project/manifests/{name}");
            self.send(&Ask::new(&name, "liar.test", "GET", &target).bearer(&token).relayed()).await;
            self.send(&Ask::new(&name, "web.test", "GET", &format!("/{name}")).relayed()).await;
        }
        self.send(&Ask::new("a Location that lies", "liar.test", "POST", UPLOADS).bearer(&token).relayed()).await;
    }

    /// What the admin listener says.
    async fn admin(&self, path: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.admin)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        let answer = within(talk(stream, request.as_bytes())).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        answer
    }
}

/// Writes, and reads until the end or until a PING is answered. A connection that breaks has said all it will.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let _refused = stream.write_all(bytes).await;
    let _refused = stream.flush().await;
    let mut answer = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut answer).await {
        if answer.windows(PONG.len()).any(|window| window == PONG) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The token under other signatures and headers.
fn forged(token: &str, canaries: &mut Canaries) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = token.split('.').collect();
    let url = |text: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text);
    let foreign = Key::new("a foreign key", canaries);
    let signing = EncodingKey::from_ec_der(&foreign.pair.serialize_der());
    let claims: Value = json!({ "iss": ISSUER, "aud": SERVICE, "sub": canaries.plant("a subject of a forged token") });
    let foreign = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &signing).unwrap();
    let kid = canaries.plant("a kid of a forged token");
    let none = url(&format!("{{\"alg\":\"none\",\"kid\":\"{kid}\"}}"));
    let known = url(&format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\",\"jwk\":\"{kid}\"}}"));
    vec![
        ("another signature", format!("{}.{}.{}", parts[0], parts[1], parts[2].chars().rev().collect::<String>())),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("alg none", format!("{none}.{}.", parts[1])),
        ("a key that came along", format!("{known}.{}.{}", parts[1], parts[2])),
        ("a foreign key", foreign),
    ]
}

async fn search(door: Door, registry: std::path::PathBuf) {
    let (directory, mut canaries) = (TempDir::new().unwrap(), Canaries::default());
    let [tls, signing, trusted] =
        ["tls.key", "signing.key", "the authority's key"].map(|it| Key::new(it, &mut canaries));
    let mut ticket = [0; 32];
    aws_lc_rs::rand::fill(&mut ticket).unwrap();
    canaries.know("tickets.key", &ticket);
    let (answer, issued) = authority(&trusted, &mut canaries);
    let authority = Peer::start(answer).await;
    let lying = Peer::start(liar("the registry", &mut canaries)).await;
    let web = Peer::start(liar("the web host", &mut canaries)).await;
    let registry = Registry::start(registry, &(signing.certificate.clone() + &trusted.certificate)).await;
    let connector = (door == Door::Tls).then(|| connector(&tls.certificate));
    let (port, admin) = (free_port().await, free_port().await);
    let mut stage = Stage { door, port, admin, canaries, tls: connector };
    let config = configuration(&stage, authority.address, registry.port, lying.address, web.address);
    Files {
        private: vec![
            ("tls.key", tls.pair.serialize_pem()),
            ("signing.key", signing.pair.serialize_pem()),
            ("tickets.key", BASE64_STANDARD.encode(ticket)),
        ],
        public: vec![
            ("tls.crt", tls.certificate),
            ("signing.crt", signing.certificate),
            ("authority.crt", trusted.certificate),
            ("tidegate.toml", config),
        ],
    }
    .write(directory.path());
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--config", "tidegate.toml"]);
    let mut gateway = started(command, directory.path(), port).await;

    stage.play().await;

    let mut said = vec![("the check", check(directory.path()).await)];
    for path in ["/metrics", "/readyz", "/healthz"] {
        said.push((path, stage.admin(path).await));
    }
    signal(&gateway, "TERM");
    within(gateway.wait()).await.unwrap();
    let log = std::fs::read_to_string(directory.path().join("output")).unwrap();
    // A log that holds nothing would hold no secret either.
    let (lines, finest) = (log.matches("tidegate::access").count(), log.matches("DEBUG").count());
    assert!(lines > 200 && finest > 5, "{lines} access lines, {finest} of the finest");
    assert!(log.contains("group/project") && said[1].1.contains("tidegate_rescues_total{renew=\"exchange\"} 1"));
    said.push(("the log", log));

    let issued = issued.lock().unwrap();
    assert!(issued.len() >= 5, "{} tokens were issued", issued.len());
    issued.iter().for_each(|token| stage.canaries.know_token("a token", token));
    assert!(stage.canaries.len() > 300);
    for (place, text) in &said {
        let found = stage.canaries.in_text(text);
        assert!(found.is_empty(), "{door:?}: {found:?} in {place}");
        for parameter in ["_state=", "_tidegate="] {
            assert!(!text.contains(parameter), "{door:?}: {parameter} in {place}");
        }
    }
}

async fn check(directory: &Path) -> String {
    let mut command = Command::new(PROGRAM);
    let output = command.args(["check", "--config", "tidegate.toml"]).current_dir(directory).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// TLS that trusts this one certificate.
fn connector(certificate: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[tokio::test]
async fn no_secret_is_written_anywhere_by_the_program_at_its_most_talkative() {
    let Some(program) = Release::V2.find() else {
        assert!(std::env::var_os("CI").is_none(), "docker-registry is missing: run tests/parts.sh");
        return;
    };
    tokio::join!(search(Door::Plain, program.clone()), search(Door::Tls, program));
}
