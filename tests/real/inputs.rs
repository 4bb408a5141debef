//! Every place where a client can put a secret, with one in it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::canaries::Canaries;
use crate::h2;

/// A request that HTTP/1.1 and HTTP/2 can both carry.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) what: String,
    pub(crate) host: &'static str,
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The answer may hold what the peer behind it says.
    pub(crate) relayed: bool,
}

impl Ask {
    pub(crate) fn new(what: &str, host: &'static str, method: &'static str, target: &str) -> Self {
        let (what, target) = (what.to_owned(), target.to_owned());
        Self { what, host, method, target, headers: Vec::new(), body: String::new(), relayed: false }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        self.with("authorization", &format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub(crate) fn relayed(mut self) -> Self {
        self.relayed = true;
        self
    }

    /// As HTTP/1.1 writes it, on a connection of its own.
    pub(crate) fn text(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let Self { host, method, target, body, .. } = self;
        let length = body.len();
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n\
             {body}"
        )
    }
}

/// What it is, and how a secret is put into it.
type Form = (&'static str, fn(&str) -> String);

const TOKENS: &str = "/jwt/auth?service=container_registry&scope=repository:group/project:pull,push";
const MANIFEST: &str = "/v2/group/project/manifests/latest";

/// What any client can send.
pub(crate) fn requests(canaries: &mut Canaries) -> Vec<Ask> {
    let registry = "registry.test";
    let mut asks = Vec::new();
    for host in [registry, "exchange.test", "web.test"] {
        let values: [Form; 9] = [
            ("of Basic", |it| format!("Basic {}", BASE64_STANDARD.encode(format!("nobody:{it}")))),
            ("of Basic without a colon", |it| format!("Basic {}", BASE64_STANDARD.encode(it))),
            ("of Basic with a control character", |it| {
                format!("Basic {}", BASE64_STANDARD.encode(format!("a\n:{it}")))
            }),
            ("of Basic that is no base64", |it| format!("Basic {it}!!")),
            ("of Basic with two spaces", |it| format!("Basic  {it}")),
            ("of Bearer that is no token", |it| format!("Bearer {it}")),
            ("of Bearer in three parts", |it| format!("Bearer {it}.{it}.{it}")),
            ("of another scheme", |it| format!("Digest username=\"{it}\"")),
            ("without a scheme", str::to_owned),
        ];
        for (what, value) in values {
            for target in [MANIFEST, TOKENS] {
                let what = format!("{what}, {host}{target}");
                let value = value(&canaries.plant(&what));
                asks.push(Ask::new(&what, host, "GET", target).with("authorization", &value));
            }
        }
        for name in ["proxy-authorization", "x-registry-auth", "private-token", "job-token", "deploy-token", "cookie"] {
            for target in [MANIFEST, TOKENS, "/nothing"] {
                let what = format!("{name}, {host}{target}");
                let secret = canaries.plant(&what);
                asks.push(Ask::new(&what, host, "GET", target).with(name, &secret));
            }
        }
        for name in
            ["token", "password", "access_token", "private_token", "job_token", "account", "_state", "_tidegate"]
        {
            for target in [MANIFEST, TOKENS, "/nothing", "/v2/", "/v2/group/project/blobs/uploads/1", "//v2/"] {
                let what = format!("query {name}, {host}{target}");
                let secret = canaries.plant(&what);
                let mark = if target.contains('?') { '&' } else { '?' };
                asks.push(Ask::new(&what, host, "GET", &format!("{target}{mark}{name}={secret}")));
            }
        }
        for form in [
            "grant_type=password&username=nobody&service=container_registry&password=",
            "grant_type=refresh_token&service=container_registry&refresh_token=",
            "grant_type=authorization_code&code=",
            "grant_type=password&password=twice&password=",
            "password=",
            "grant_type=password&username=%zz&password=",
            "{\"password\":\"",
        ] {
            let what = format!("form {form}, {host}");
            let secret = canaries.plant(&what);
            let ask = Ask::new(&what, host, "POST", "/jwt/auth").body(&format!("{form}{secret}"));
            asks.push(ask.with("content-type", "application/x-www-form-urlencoded"));
        }
    }
    let what = "a form that is too long";
    let secret = canaries.plant(what);
    asks.push(Ask::new(what, registry, "POST", "/jwt/auth").body(&format!("password={secret}").repeat(10_000)));
    let what = "a token that is too long";
    let secret = canaries.plant(what);
    asks.push(Ask::new(what, registry, "GET", MANIFEST).bearer(&secret.repeat(1000)));
    let what = "two credentials";
    let secret = canaries.plant(what);
    asks.push(Ask::new(what, registry, "GET", MANIFEST).bearer(&secret).bearer(&secret));
    // The web host answers for itself what is not ours.
    asks.into_iter().map(|ask| if ask.host == "web.test" { ask.relayed() } else { ask }).collect()
}

/// What only HTTP/1.1 can carry, and what is no HTTP at all.
pub(crate) fn malformed(canaries: &mut Canaries) -> Vec<(String, String)> {
    let forms: [Form; 16] = [
        ("userinfo of an absolute target", |it| {
            format!("GET http://a:{it}@registry.test/v2/ HTTP/1.1\r\nHost: registry.test\r\n")
        }),
        ("userinfo of Host", |it| format!("GET /v2/ HTTP/1.1\r\nHost: a:{it}@registry.test\r\n")),
        ("a second Host", |it| format!("GET /v2/?token={it} HTTP/1.1\r\nHost: registry.test\r\nHost: {it}\r\n")),
        ("another host's target", |it| format!("GET http://{it}.test/?token={it} HTTP/1.1\r\nHost: registry.test\r\n")),
        ("CONNECT", |it| format!("CONNECT {it}:443 HTTP/1.1\r\nHost: {it}:443\r\n")),
        ("a length that is none", |it| {
            format!("POST /jwt/auth HTTP/1.1\r\nHost: registry.test\r\nContent-Length: {it}\r\n")
        }),
        ("a coding that is none", |it| {
            format!("POST /jwt/auth HTTP/1.1\r\nHost: registry.test\r\nTransfer-Encoding: {it}\r\n")
        }),
        ("a chunk that is none", |it| {
            format!("POST /jwt/auth HTTP/1.1\r\nHost: registry.test\r\nTransfer-Encoding: chunked\r\n\r\n{it}\r\n{it}")
        }),
        ("a line without a colon", |it| format!("GET /v2/?token={it} HTTP/1.1\r\nHost: registry.test\r\n{it}\r\n")),
        ("a folded line", |it| {
            format!("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer a\r\n {it}\r\n")
        }),
        ("a name with an underscore", |it| {
            format!("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nPRIVATE_TOKEN: {it}\r\n")
        }),
        ("a control character", |it| format!("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nCookie: {it}\0{it}\r\n")),
        ("a target with a blank", |it| format!("GET /v2/?token={it} {it} HTTP/1.1\r\nHost: registry.test\r\n")),
        ("a target with a control character", |it| {
            format!("GET /v2/?token={it}\x01 HTTP/1.1\r\nHost: registry.test\r\n")
        }),
        ("no HTTP", |it| format!("PROXY TCP4 {it} {it}\r\n")),
        ("h2c", |it| {
            format!(
                "GET /v2/?token={it} HTTP/1.1\r\nHost: registry.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: {it}\r\n"
            )
        }),
    ];
    let plant = |(what, form): Form| {
        let secret = canaries.plant(what);
        (what.to_owned(), format!("{}Connection: close\r\n\r\n", form(&secret)))
    };
    forms.into_iter().map(plant).collect()
}

/// How an answered PING begins (RFC 9113 §6.7).
pub(crate) const PONG: &[u8] = &[0, 0, 8, 6, 1];

/// What only HTTP/2 can carry: what a parser refuses, and may be tempted to quote.
pub(crate) fn frames(canaries: &mut Canaries) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut headers = |what: &str, path: &str, authority: &str, extra: Option<(&str, &str)>| {
        let secret = canaries.plant(what);
        let fill = |text: &str| text.replace('*', &secret);
        let mut fields = vec![
            (":method".to_owned(), "GET".to_owned()),
            (":scheme".to_owned(), "https".to_owned()),
            (":authority".to_owned(), fill(authority)),
            (":path".to_owned(), fill(path)),
        ];
        fields.extend(extra.map(|(name, value)| (fill(name), fill(value))));
        all.push((what.to_owned(), frame(1, 5, 1, &block(&fields))));
    };
    headers(":path that is no path", "/v2/?token=* *", "registry.test", None);
    headers(":path that is absolute", "https://a:*@registry.test/v2/", "registry.test", None);
    headers(":authority that is none", "/v2/?token=*", "a:* *@registry.test", None);
    headers(":authority with userinfo", "/v2/", "a:*@registry.test", None);
    headers("an upper-case name", "/v2/?token=*", "registry.test", Some(("Private-Token", "*")));
    headers("a name that is the secret", "/v2/", "registry.test", Some(("*:", "*")));
    headers("a value with a line end", "/v2/", "registry.test", Some(("private-token", "*\r\nx: *")));
    headers("a connection header", "/v2/?token=*", "registry.test", Some(("connection", "*")));
    headers("te that is not trailers", "/v2/?token=*", "registry.test", Some(("te", "*")));
    headers("two hosts", "/v2/?token=*", "registry.test", Some(("host", "*")));
    let goodbye = canaries.plant("debug data of GOAWAY");
    let goodbye = [&[0, 0, 0, 0, 0, 0, 0, 0], goodbye.as_bytes()].concat();
    all.push(("debug data of GOAWAY".to_owned(), frame(7, 0, 0, &goodbye)));
    all
}

/// Literal fields without indexing and without Huffman coding (RFC 7541 §6.2.2).
fn block(fields: &[(String, String)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A frame (RFC 9113 §4.1), with what opens a connection before it, and a PING behind it whose answer says that it was
/// read.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let ping = h2::frame(h2::PING, 0, 0, &[0; 8]);
    [h2::PREFACE, &h2::frame(kind, flags, u32::from(stream), payload), &ping].concat()
}
