use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::*;
use crate::authority::gitlab::Settings;
use crate::authority::testing::{Fields, TokenServer, answer, granted, living, refused, settings};
use crate::base::clock::Clock;
use crate::issuance::testing::{push_settings, token_settings};
use crate::telemetry::labels::Listener;
use crate::telemetry::log::tests::capture;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::{Ending, Outcome};
use crate::token::testing::{NOW, TestKey, claims};

const QUERY: &str = "account=ada&scope=repository%3Agroup%2Fproject%3Apull%2Cpush&service=container_registry";

struct Fixture {
    endpoint: TokenEndpoint,
    metrics: Arc<Metrics>,
}

/// What a client got, and what was noted.
struct Got {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
    ending: Ending,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap().to_owned()
    }
}

impl Fixture {
    fn new(authority: Settings) -> Self {
        let (clock, metrics) = (Clock::manual(NOW), Arc::new(Metrics::new()));
        let (tokens, push) = (token_settings(), push_settings());
        let service = TokenService::new(authority, &tokens, &push, clock, Arc::clone(&metrics), Handle::current());
        let endpoint = TokenEndpoint::new(Arc::new(service.unwrap()), Renew::Resign);
        Self { endpoint, metrics }
    }

    async fn send(&self, mut request: Request<Body>) -> Got {
        let peer = Peer {
            address: "10.0.0.7:4711".parse().unwrap(),
            local: "10.0.0.1:443".parse().unwrap(),
            secure: true,
            server_name: None,
        };
        request.extensions_mut().insert(Arc::new(peer.clone()));
        request.headers_mut().insert("host", HeaderValue::from_static("registry.example.com"));
        let asked = Some("registry.example.com".parse().unwrap());
        let client = ClientOrigin::of(request.headers(), asked, &peer, &["10.0.0.0/8".parse().unwrap()]);
        let (head, body) = request.into_parts();
        let id = HeaderValue::from_static("req-1");
        let outcome = Outcome::new(Listener::Public, &head, client.address, id);
        let (record, ending) = Record::begin(outcome, Arc::clone(&self.metrics));
        let response = self.endpoint.handle(&client, &record, Request::from_parts(head, body)).await;
        let (head, body) = response.into_parts();
        let body = body.collect_bounded(1 << 20).await.unwrap().to_vec();
        let got = Got { status: head.status.as_u16(), headers: head.headers, body, ending };
        assert_eq!(got.header("cache-control"), Some("no-store"));
        got
    }

    async fn get(&self, query: &str, authorization: Option<&str>) -> Got {
        let mut request = Request::get(format!("/jwt/auth?{query}"));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        self.send(request.header("x-forwarded-for", "203.0.113.9").body(Body::empty()).unwrap()).await
    }

    async fn post(&self, form: impl Into<Vec<u8>>) -> Got {
        let request = Request::post("/jwt/auth").header("content-type", "application/x-www-form-urlencoded");
        self.send(request.header("x-forwarded-for", "203.0.113.9").body(Body::full(form.into())).unwrap()).await
    }

    fn counts(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|counted| counted == line)
    }
}

async fn fixture(server: &TokenServer) -> Fixture {
    Fixture::new(server.settings())
}

#[tokio::test]
async fn a_get_is_answered_with_a_repaired_token() {
    let server = TokenServer::granting(claims()).await;
    let fixture = fixture(&server).await;

    let got = fixture.get(QUERY, Some("Basic YWRhOng=")).await;

    assert_eq!((got.status, got.header("content-type")), (200, Some("application/json")));
    assert_eq!(got.json()["expires_in"], 270);
    assert_eq!(got.json()["access_token"], got.json()["token"]);
    got.ending.record().with(|outcome| {
        assert_eq!((outcome.route, outcome.subject.as_deref()), (RouteKind::Token, Some("ada")));
        assert_eq!((outcome.auth_type.as_deref(), outcome.token_left), (Some("gitlab_or_ldap"), Some(300)));
    });
    assert!(fixture.counts(r#"tidegate_token_requests_total{authority="gitlab",result="issued"} 1"#));
}

#[tokio::test]
async fn every_kind_of_credential_reaches_the_authority_byte_for_byte() {
    let server = TokenServer::granting(claims()).await;
    let fixture = fixture(&server).await;
    let logins =
        ["gitlab-ci-token:glcbt-64_x", "oauth2:0123", "anything:glpat-x", "gitlab+deploy-token-1:gldt-x", "ada:p:ä"];
    for login in logins {
        let user_and_password = login.split_once(':').unwrap();
        let header = Credentials::basic(user_and_password.0, user_and_password.1).unwrap();
        let header = header.to_str().unwrap();
        fixture.get(QUERY, Some(header)).await;
        let received = server.received().pop().unwrap();
        assert_eq!(received.header("authorization"), Some(header), "{login}");
        assert_eq!(received.target, format!("/jwt/auth?{QUERY}"));
        assert_eq!(received.header("x-forwarded-for"), Some("203.0.113.9"));
        assert_eq!(received.header("x-forwarded-host"), Some("registry.example.com"));
        assert_eq!(received.header("x-request-id"), Some("req-1"));
    }
    assert_eq!(server.asked(), logins.len());
}

#[tokio::test]
async fn a_password_grant_is_put_as_a_get_and_shares_its_token() {
    let server = TokenServer::granting(claims()).await;
    let fixture = fixture(&server).await;
    let form = "grant_type=password&service=container_registry&client_id=containerd-client&username=ada\
                &password=p%26a+%C3%A4%3A&scope=repository%3Agroup%2Fproject%3Apull%2Cpush&access_type=online";

    let got = fixture.post(form).await;

    assert_eq!((got.status, &got.json()["access_token"]), (200, &got.json()["token"]));
    let received = &server.received()[0];
    assert_eq!(received.method, Method::GET);
    let expected = Credentials::basic("ada", "p&a ä:").unwrap();
    assert_eq!(received.headers[AUTHORIZATION], expected);
    let query = received.target.split_once('?').unwrap().1;
    let query = TokenQuery::parse(Some(query));
    assert!(query.cacheable);
    assert_eq!(query.canonical_scope(), "repository:group/project:pull,push");
    assert_eq!((query.service.as_deref(), query.account.as_deref()), (Some("container_registry"), Some("ada")));

    fixture.get(QUERY, Some(expected.to_str().unwrap())).await;
    assert_eq!(server.asked(), 1, "the same credential asked for the same");
}

#[tokio::test]
async fn a_short_token_answers_a_post_with_its_oauth2_name() {
    let server = TokenServer::granting(living(40)).await;
    let got = fixture(&server).await.post("grant_type=password&service=s&username=a&password=b").await;
    assert_eq!((got.status, &got.json()["access_token"]), (200, &got.json()["token"]));
}

#[tokio::test]
async fn a_grant_nobody_serves_is_gitlabs_empty_404() {
    let server = TokenServer::granting(claims()).await;
    let fixture = fixture(&server).await;
    for grant in ["refresh_token&refresh_token=secret", "client_credentials", "x"] {
        let got = fixture.post(format!("grant_type={grant}&service=s")).await;
        assert_eq!((got.status, got.body.len()), (404, 0), "{grant}");
    }
    assert_eq!(server.asked(), 0);
    assert!(fixture.counts(r#"tidegate_token_requests_total{authority="gitlab",result="refused"} 3"#));
}

#[tokio::test]
async fn what_is_no_token_request_is_not_put_to_the_authority() {
    let server = TokenServer::granting(claims()).await;
    let fixture = fixture(&server).await;
    let forms: [(&[u8], u16); 6] = [
        (b"", 400),
        (b"{\"grant_type\":\"password\"}", 400),
        (b"grant_type=password&username=a", 400),
        (b"grant_type=password&username=a%3Ab&password=x", 400),
        (b"grant_type=password&username=a&password=%ff", 400),
        (&vec![b'x'; MAX_FORM + 1], 413),
    ];
    for (form, status) in forms {
        let got = fixture.post(form).await;
        assert_eq!(got.status, status, "{:?}", String::from_utf8_lossy(&form[..form.len().min(60)]));
        assert_eq!(got.code(), "UNKNOWN");
    }
    let twice = Request::get("/jwt/auth").header("authorization", "Basic eA==").header("authorization", "Basic eQ==");
    assert_eq!(fixture.send(twice.body(Body::empty()).unwrap()).await.status, 400);
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = Request::builder().method(method).uri("/jwt/auth").body(Body::empty()).unwrap();
        let got = fixture.send(request).await;
        assert_eq!((got.status, got.header("allow")), (405, Some("GET, POST")), "{method}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_denial_passes_unchanged_and_is_noted() {
    let server = TokenServer::start(|_| async { refused(403, "DENIED", "access forbidden") }).await;
    let fixture = fixture(&server).await;
    let got = fixture.get(QUERY, Some("Basic YWRhOng=")).await;
    assert_eq!((got.status, got.code(), got.message()), (403, "DENIED".into(), "access forbidden".into()));
    assert_eq!(got.header("content-type"), Some("application/json; charset=utf-8"));
    got.ending.record().with(|outcome| {
        assert_eq!(outcome.subject, None, "a login may be a token in the wrong place");
        assert_eq!(outcome.denied, Some(DeniedReason::Credential));
    });
    assert!(fixture.counts(r#"tidegate_token_requests_total{authority="gitlab",result="denied"} 1"#));
}

#[tokio::test]
async fn every_other_refusal_passes_unchanged() {
    for (status, body) in [(404, ""), (400, "bad scope"), (404, r#"{"errors":[{"code":"UNAVAILABLE"}]}"#)] {
        let server = TokenServer::saying(status, &[("content-type", "text/plain")], body).await;
        let got = fixture(&server).await.get(QUERY, None).await;
        assert_eq!((got.status, got.body.as_slice()), (status, body.as_bytes()));
        assert_eq!(got.header("content-type"), Some("text/plain"));
    }
}

#[tokio::test]
async fn a_login_that_lost_its_credential_on_the_way_is_told_so() {
    for (status, code) in [(401, "UNAUTHORIZED"), (403, "DENIED")] {
        let server = TokenServer::start(move |_| async move { refused(status, code, "access forbidden") }).await;
        let fixture = fixture(&server).await;

        let got = fixture.get(QUERY, None).await;

        assert_eq!((got.status, got.code()), (status, code.to_owned()));
        assert_eq!(got.json()["http_status"], status);
        assert!(got.message().contains("carries no Authorization header"), "{}", got.message());
        assert!(got.message().contains("10.0.0.7"), "{}", got.message());
        assert_eq!(server.asked(), 1, "it is put to the authority all the same");
        assert!(fixture.counts("tidegate_authorization_missing_total 1"));
    }
}

#[tokio::test]
async fn a_denial_that_is_no_registrys_is_explained_with_its_status() {
    let server =
        TokenServer::saying(403, &[("content-type", "text/html"), ("content-encoding", "gzip")], "\u{1f}").await;
    let got = fixture(&server).await.get(QUERY, None).await;
    assert_eq!((got.status, got.code()), (403, "DENIED".to_owned()));
    assert_eq!((got.header("content-type"), got.header("content-encoding")), (Some("application/json"), None));
}

#[tokio::test]
async fn an_anonymous_request_is_no_robbery_and_neither_is_a_granted_one() {
    let server = TokenServer::start(|_| async { refused(403, "DENIED", "access forbidden") }).await;
    let denied = fixture(&server).await;
    for query in ["service=container_registry", "account=&service=container_registry"] {
        assert_eq!(denied.get(query, None).await.message(), "access forbidden", "{query}");
    }
    assert_eq!(denied.get(QUERY, Some("Basic eA==")).await.message(), "access forbidden");
    assert!(denied.counts("tidegate_authorization_missing_total 0"));

    let server = TokenServer::granting(claims()).await;
    let granted = fixture(&server).await;
    assert_eq!(granted.get(QUERY, None).await.status, 200);
    assert!(granted.counts("tidegate_authorization_missing_total 1"));
}

/// Checks that `server` counts as one that cannot be asked: 503, `Retry-After`, a registry-style body of our own.
async fn check_unavailable(server: &TokenServer, retry_after: &str, what: &str) {
    let authority = Settings { timeout: Duration::from_millis(300), ..server.settings() };
    let fixture = Fixture::new(authority);
    let got = fixture.get(QUERY, Some("Basic YWRhOmNhbmFyeQ==")).await;
    assert_eq!((got.status, got.code()), (503, "UNAVAILABLE".to_owned()), "{what}");
    assert_eq!(got.header("retry-after"), Some(retry_after), "{what}");
    assert!(!String::from_utf8_lossy(&got.body).contains("html"), "{what}: its page was passed on");
    assert_eq!(got.header("www-authenticate"), None);
    got.ending.record().with(|outcome| {
        assert_eq!(outcome.failure.as_ref().map(|failure| failure.side), Some(Side::Authority), "{what}");
        assert_eq!(outcome.denied, None);
    });
    assert!(fixture.counts(r#"tidegate_token_requests_total{authority="gitlab",result="unavailable"} 1"#));
}

#[tokio::test]
async fn an_authority_that_cannot_be_asked_is_never_a_denial() {
    let huge = format!(r#"{{"token":"{}"}}"#, "x".repeat(5 << 20));
    let table: [(u16, Fields, Vec<u8>); 8] = [
        (200, &[("content-type", "text/html")], b"<!DOCTYPE html><html>".to_vec()),
        (302, &[("location", "http://127.0.0.1:1/users/sign_in")], Vec::new()),
        (500, &[], b"<html>".to_vec()),
        (502, &[("www-authenticate", "Basic realm=html")], b"<html>".to_vec()),
        (200, &[], huge.into_bytes()),
        (200, &[("content-encoding", "gzip")], granted(&claims()).into_bytes()),
        (200, &[], b"{}".to_vec()),
        (204, &[], Vec::new()),
    ];
    for (status, headers, body) in table {
        let what = format!("{status} {headers:?}");
        check_unavailable(&TokenServer::saying(status, headers, body).await, "5", &what).await;
    }
    check_unavailable(&TokenServer::saying(503, &[("retry-after", "77")], "").await, "77", "maintenance").await;
    check_unavailable(&TokenServer::start(|_| std::future::pending()).await, "5", "slow").await;
}

#[tokio::test]
async fn nobody_listening_is_503() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let got = Fixture::new(settings(&format!("http://{free}/jwt/auth"))).get(QUERY, None).await;
    assert_eq!((got.status, got.header("retry-after")), (503, Some("5")));
}

#[tokio::test]
async fn throttling_stays_throttling_in_the_registries_words() {
    for (headers, expected) in [(&[("retry-after", "17")] as Fields, "17"), (&[], "5")] {
        let server = TokenServer::saying(429, headers, "<html>Retry later</html>").await;
        let fixture = fixture(&server).await;
        let got = fixture.get(QUERY, Some("Basic YWRhOng=")).await;
        assert_eq!((got.status, got.code()), (429, "TOOMANYREQUESTS".to_owned()));
        assert_eq!(got.header("retry-after"), Some(expected));
        assert!(fixture.counts(r#"tidegate_token_requests_total{authority="gitlab",result="throttled"} 1"#));
    }
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_passed_on_and_counted_as_such() {
    let body = json!({"token": TestKey::foreign().sign(&claims())}).to_string();
    let server = TokenServer::saying(200, &[], body.clone()).await;
    let fixture = fixture(&server).await;
    let got = fixture.get(QUERY, Some("Basic YWRhOng=")).await;
    assert_eq!((got.status, got.body), (200, body.into_bytes()));
    assert!(fixture.counts(r#"tidegate_token_requests_total{authority="gitlab",result="passed"} 1"#));
}

#[tokio::test]
async fn nothing_an_answer_is_made_of_shows_a_secret_when_it_is_printed() {
    let server = TokenServer::start(|_| async { answer(200, &[], granted(&claims())) }).await;
    let fixture = fixture(&server).await;
    let question = Question {
        query: Some(QUERY.to_owned()),
        authorization: Some({
            let mut value = HeaderValue::from_static("Basic Y2FuYXJ5OmNhbmFyeQ==");
            value.set_sensitive(true);
            value
        }),
        asker: Asker { address: "10.0.0.7".parse().unwrap(), scheme: "https", host: None },
        request_id: None,
        user_agent: None,
    };
    let request = TokenRequest { question, renew: Renew::Resign, variant: Variant::Docker };
    let issued = fixture.endpoint.service.issue(request.clone()).await;
    let printed = format!("{request:?} {issued:?} {:?}", fixture.endpoint);
    for canary in ["Y2FuYXJ5", "eyJ"] {
        assert!(!printed.contains(canary), "{canary} in {printed}");
    }
}

#[tokio::test]
async fn requests_without_their_authorization_are_all_counted_and_warned_of_once() {
    let server = TokenServer::granting(claims()).await;
    let fixture = fixture(&server).await;
    let (log, _guard) = capture();
    for _ in 0..3 {
        fixture.get(QUERY, None).await;
    }
    assert_eq!(log.text().matches("names an account and carries no Authorization").count(), 1);
    assert!(fixture.counts("tidegate_authorization_missing_total 3"));
}
