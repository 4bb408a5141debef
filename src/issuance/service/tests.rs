use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::authority::gitlab::Asker;
use crate::authority::testing::{Received, TokenServer, answer, grant, granted, living, refused};
use crate::issuance::testing::{push_settings, token_settings};
use crate::oci::credentials::Credentials as Authorization;
use crate::policy::Renew;
use crate::token::testing::{NOW, TestKey, claims, claims_but};

const QUERY: &str = "service=container_registry&scope=repository:group/project:pull,push";

struct Fixture {
    server: TokenServer,
    service: TokenService,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Fixture {
    fn new(server: TokenServer) -> Self {
        Self::with(server, &token_settings())
    }

    fn with(server: TokenServer, tokens: &Settings) -> Self {
        let (clock, metrics) = (Clock::manual(NOW), Arc::new(Metrics::new()));
        let service = TokenService::new(
            server.settings(),
            tokens,
            &push_settings(),
            clock.clone(),
            Arc::clone(&metrics),
            Handle::current(),
        );
        Self { server, service: service.unwrap(), clock, metrics }
    }

    async fn issue(&self, request: TokenRequest) -> Issued {
        self.service.issue(request).await
    }

    async fn token(&self, request: TokenRequest) -> (Value, IssuedToken) {
        match self.issue(request).await {
            Issued::Token(token) => (serde_json::from_slice(token.body.expose()).unwrap(), token),
            other => panic!("no token: {other:?}"),
        }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn request(query: &str, authorization: &str) -> TokenRequest {
    TokenRequest {
        question: Question {
            query: Some(query.to_owned()),
            authorization: Some(authorization.parse().unwrap()),
            asker: Asker { address: "203.0.113.9".parse().unwrap(), scheme: "https", host: None },
            request_id: None,
            user_agent: None,
        },
        renew: Renew::Resign,
        variant: Variant::Docker,
    }
}

fn ada() -> TokenRequest {
    request(QUERY, "Basic YWRhOng=")
}

#[tokio::test]
async fn an_answer_is_repaired_and_handed_out_again() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);

    let (first, issued) = fixture.token(ada()).await;
    assert_eq!(first["expires_in"], 270);
    assert_eq!(first["access_token"], first["token"]);
    assert_eq!((issued.cache, issued.verified), (Some(CacheResult::Miss), true));
    assert_eq!((issued.subject.as_deref(), issued.remaining), (Some("ada"), Some(300)));

    fixture.pass(100);
    let (second, issued) = fixture.token(ada()).await;
    assert_eq!(second["expires_in"], 170);
    assert_eq!(second["token"], first["token"]);
    assert_eq!(issued.cache, Some(CacheResult::Hit));
    assert_eq!(fixture.server.asked(), 1);
}

#[tokio::test]
async fn the_order_of_scopes_and_actions_and_the_client_id_make_no_difference() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);
    let spellings = [
        "service=s&scope=repository:b:pull,push&scope=repository:a:pull&client_id=docker",
        "scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apush%2Cpull&service=s&client_id=containerd-client",
        "service=s&scope=repository:a:pull+repository:b:push,pull",
    ];
    for query in spellings {
        fixture.token(request(query, "Basic YWRhOng=")).await;
    }
    assert_eq!(fixture.server.asked(), 1);
}

#[tokio::test]
async fn whatever_decides_makes_a_request_of_its_own() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);
    let mut elsewhere = ada();
    elsewhere.question.asker.address = "203.0.113.10".parse().unwrap();
    let mut anonymous = ada();
    anonymous.question.authorization = None;
    let requests = [
        ada(),
        request(QUERY, "Basic YWRhOnk="),
        request(QUERY, "basic YWRhOng="),
        request(&QUERY.replace("container_registry", "dependency_proxy"), "Basic YWRhOng="),
        request(&QUERY.replace("pull,push", "pull"), "Basic YWRhOng="),
        request(&format!("{QUERY}&account=ada"), "Basic YWRhOng="),
        elsewhere,
        anonymous,
    ];
    for (number, request) in requests.iter().enumerate() {
        fixture.token(request.clone()).await;
        assert_eq!(fixture.server.asked(), number + 1, "{request:?}");
    }
}

#[tokio::test]
async fn a_token_is_handed_out_again_only_while_it_outlives_what_the_client_assumes() {
    let fixture = Fixture::new(TokenServer::granting(living(300)).await);
    fixture.token(ada()).await;

    fixture.pass(210);
    let (body, issued) = fixture.token(ada()).await;
    assert_eq!((&body["expires_in"], issued.remaining), (&json!(60), Some(90)));
    assert_eq!(fixture.server.asked(), 1);

    fixture.pass(1);
    fixture.token(ada()).await;
    assert_eq!(fixture.server.asked(), 2);
}

#[tokio::test]
async fn a_short_token_is_passed_on_as_it_came_and_not_kept() {
    let body = json!({"token": TestKey::trusted().sign(&living(89)), "expires_in": 89, "issued_at": "x"}).to_string();
    let fixture = Fixture::new(TokenServer::saying(200, &[], body.clone()).await);
    for asked in 1..=2 {
        let Issued::Token(token) = fixture.issue(ada()).await else { panic!("no token") };
        assert_eq!(token.body.expose(), body.as_bytes());
        assert_eq!(fixture.server.asked(), asked);
    }
}

#[tokio::test]
async fn a_short_token_does_not_stand_in_for_an_authority_that_cannot_be_asked() {
    let (server, failing) = failing_later(500, 89).await;
    let fixture = Fixture::new(server);
    fixture.token(ada()).await;
    *failing.lock().unwrap() = true;
    assert!(matches!(fixture.issue(ada()).await, Issued::Unavailable { .. }));
}

#[tokio::test]
async fn a_clock_behind_the_authoritys_makes_no_token_live_longer() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);
    // Our clock is 50 s behind the one that wrote `iat` and `exp`.
    let behind = Clock::manual(NOW.minus(Duration::from_secs(50)));
    let service = TokenService::new(
        fixture.server.settings(),
        &token_settings(),
        &push_settings(),
        behind,
        Arc::clone(&fixture.metrics),
        Handle::current(),
    );
    let Issued::Token(token) = service.unwrap().issue(ada()).await else { panic!("no token") };
    assert_eq!(token.remaining, Some(300));
}

#[tokio::test]
async fn where_pushes_are_not_renewed_no_more_than_a_minute_is_announced() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);
    let (body, _) = fixture.token(TokenRequest { renew: Renew::Off, ..ada() }).await;
    assert_eq!(body["expires_in"], 60);
    let (body, _) = fixture.token(ada()).await;
    assert_eq!((&body["expires_in"], fixture.server.asked()), (&json!(270), 1));
}

#[tokio::test]
async fn without_repair_the_answer_stays_as_it_came() {
    let quiet = Settings { announce_lifetime: false, ..token_settings() };
    let fixture = Fixture::with(TokenServer::granting(claims()).await, &quiet);
    for _ in 0..2 {
        let Issued::Token(token) = fixture.issue(ada()).await else { panic!("no token") };
        assert_eq!(token.body.expose(), granted(&claims()).as_bytes());
    }
    assert_eq!(fixture.server.asked(), 1);
}

#[tokio::test]
async fn without_repair_an_announced_life_is_not_said_twice() {
    let quiet = Settings { announce_lifetime: false, ..token_settings() };
    let body = json!({"token": TestKey::trusted().sign(&claims()), "expires_in": 300}).to_string();
    let fixture = Fixture::with(TokenServer::saying(200, &[], body.clone()).await, &quiet);
    for asked in 1..=2 {
        let Issued::Token(token) = fixture.issue(ada()).await else { panic!("no token") };
        assert_eq!((token.body.expose(), fixture.server.asked()), (body.as_bytes(), asked));
    }
}

#[tokio::test]
async fn the_oauth2_variant_always_names_an_access_token() {
    let fixture = Fixture::new(TokenServer::granting(living(50)).await);
    let (body, _) = fixture.token(TokenRequest { variant: Variant::OAuth2, ..ada() }).await;
    assert_eq!((&body["access_token"], body.get("expires_in")), (&body["token"], None));
}

#[tokio::test]
async fn a_denial_is_remembered_for_seconds_and_for_the_exact_request() {
    for (status, code) in [(401, "UNAUTHORIZED"), (403, "DENIED")] {
        let fixture = Fixture::new(TokenServer::start(move |_| async move { refused(status, code, "no") }).await);
        for expected in [CacheResult::Miss, CacheResult::Negative, CacheResult::Negative] {
            let Issued::Refused { refusal, cache } = fixture.issue(ada()).await else { panic!("not refused") };
            assert_eq!((refusal.status.as_u16(), cache), (status, Some(expected)));
        }
        assert_eq!(fixture.server.asked(), 1);

        fixture.issue(request(QUERY, "Basic YWRhOnk=")).await;
        assert_eq!(fixture.server.asked(), 2, "another credential is asked for");

        fixture.pass(5);
        fixture.issue(ada()).await;
        assert_eq!(fixture.server.asked(), 3, "a denial lasts no longer");
    }
}

#[tokio::test]
async fn a_refused_credential_is_not_asked_with_again_for_seconds_and_a_denied_scope_says_nothing_of_another() {
    for (status, code, asked) in [(401, "UNAUTHORIZED", 1), (403, "DENIED", 2)] {
        let fixture = Fixture::new(TokenServer::start(move |_| async move { refused(status, code, "no") }).await);
        let other = QUERY.replace("project", "other");
        fixture.issue(ada()).await;
        let Issued::Refused { refusal, .. } = fixture.issue(request(&other, "Basic YWRhOng=")).await else {
            panic!("not refused")
        };
        assert_eq!((refusal.status.as_u16(), fixture.server.asked()), (status, asked));

        let mut elsewhere = request(&other, "Basic YWRhOng=");
        elsewhere.question.asker.address = "203.0.113.10".parse().unwrap();
        fixture.issue(elsewhere).await;
        assert_eq!(fixture.server.asked(), asked + 1, "another address is asked for");

        fixture.pass(5);
        fixture.issue(request(&other, "Basic YWRhOng=")).await;
        assert_eq!(fixture.server.asked(), asked + 2, "a denial lasts no longer");
    }
}

#[tokio::test]
async fn an_anonymous_refusal_is_nobodys_credential() {
    let fixture = Fixture::new(TokenServer::start(|_| async { refused(401, "UNAUTHORIZED", "no") }).await);
    for (asked, project) in [(1, "project"), (2, "other")] {
        let mut anonymous = request(&QUERY.replace("project", project), "x");
        anonymous.question.authorization = None;
        fixture.issue(anonymous).await;
        assert_eq!(fixture.server.asked(), asked);
    }
}

#[tokio::test]
async fn no_other_refusal_is_remembered() {
    for status in [400, 404, 429, 500] {
        let fixture = Fixture::new(TokenServer::saying(status, &[], "").await);
        fixture.issue(ada()).await;
        fixture.issue(ada()).await;
        assert_eq!(fixture.server.asked(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_refused_credential_loses_all_its_tokens_and_a_denied_scope_only_its_own() {
    let pull = QUERY.replace("pull,push", "pull");
    for (status, code, asked) in [(401, "UNAUTHORIZED", 3), (403, "DENIED", 2)] {
        let fixture = Fixture::new(
            TokenServer::start(move |request: Received| async move {
                if request.target.contains("pull,push") { refused(status, code, "no") } else { grant(&claims()) }
            })
            .await,
        );
        fixture.token(request(&pull, "Basic YWRhOng=")).await;
        fixture.issue(ada()).await;
        // Past the refusal: while it counts the credential gets nothing at all.
        fixture.pass(5);
        fixture.token(request(&pull, "Basic YWRhOng=")).await;
        assert_eq!(fixture.server.asked(), asked, "{status}");
    }
}

/// A server that grants tokens that live for `life` seconds, until it is told to fail with `status`.
async fn failing_later(status: u16, life: i64) -> (TokenServer, Arc<Mutex<bool>>) {
    let failing = Arc::new(Mutex::new(false));
    let server = TokenServer::start({
        let failing = Arc::clone(&failing);
        move |_| {
            let fails = *failing.lock().unwrap();
            async move { if fails { answer(status, &[], "<html>") } else { grant(&living(life)) } }
        }
    })
    .await;
    (server, failing)
}

#[tokio::test]
async fn a_living_token_beats_an_authority_that_cannot_be_asked() {
    for status in [200, 302, 429, 500, 502] {
        let (server, failing) = failing_later(status, 300).await;
        let fixture = Fixture::new(server);
        let (first, _) = fixture.token(ada()).await;
        *failing.lock().unwrap() = true;

        for (passed, expires_in) in [(230, Some(60)), (10, Some(60)), (1, None), (58, None)] {
            fixture.pass(passed);
            let (body, _) = fixture.token(ada()).await;
            assert_eq!(
                (&body["token"], body.get("expires_in")),
                (&first["token"], expires_in.map(Value::from).as_ref())
            );
        }
        fixture.pass(1);
        assert!(!matches!(fixture.issue(ada()).await, Issued::Token(_)), "{status}: a dead token was handed out");
    }
}

#[tokio::test]
async fn a_living_token_does_not_beat_a_denial() {
    for status in [401, 403] {
        let (server, failing) = failing_later(status, 300).await;
        let fixture = Fixture::new(server);
        fixture.token(ada()).await;
        *failing.lock().unwrap() = true;
        fixture.pass(230);
        assert!(matches!(fixture.issue(ada()).await, Issued::Refused { .. }), "{status}");
        *failing.lock().unwrap() = false;
    }
}

#[tokio::test]
async fn a_stale_answer_repeats_nothing_the_authority_said_about_time() {
    let body = json!({"token": TestKey::trusted().sign(&claims()), "expires_in": 300, "issued_at": "then"}).to_string();
    for announce_lifetime in [true, false] {
        let calls = Arc::new(Mutex::new(0));
        let body = body.clone();
        let server = TokenServer::start(move |_| {
            let first = std::mem::replace(&mut *calls.lock().unwrap(), 1) == 0;
            let answer = if first { answer(200, &[], body.clone()) } else { answer(500, &[], "") };
            async move { answer }
        })
        .await;
        let fixture = Fixture::with(server, &Settings { announce_lifetime, ..token_settings() });
        fixture.token(ada()).await;
        fixture.pass(250);
        let (body, _) = fixture.token(ada()).await;
        assert_eq!((body.get("expires_in"), body.get("issued_at")), (None, None));
    }
}

#[tokio::test]
async fn without_a_token_at_hand_an_error_is_an_error() {
    let throttled = Fixture::new(TokenServer::saying(429, &[("retry-after", "9")], "").await);
    let Issued::Throttled { retry_after } = throttled.issue(ada()).await else { panic!("not throttled") };
    assert_eq!(retry_after.unwrap(), "9");
    let broken = Fixture::new(TokenServer::saying(500, &[], "").await);
    let Issued::Unavailable { why, .. } = broken.issue(ada()).await else { panic!("not unavailable") };
    assert_eq!(why, Unreachable::Status(StatusCode::INTERNAL_SERVER_ERROR));
}

#[tokio::test]
async fn a_request_that_is_not_read_for_certain_is_passed_on_each_time() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);
    for query in ["service=s&offline_token=true", "service=s&scope=repository:a", "service=s&service=t"] {
        let before = fixture.server.asked();
        for _ in 0..2 {
            let (body, issued) = fixture.token(request(query, "Basic YWRhOng=")).await;
            assert_eq!((body["expires_in"].as_u64(), issued.cache), (Some(270), None));
        }
        assert_eq!(fixture.server.asked(), before + 2, "{query}");
    }
}

#[tokio::test]
async fn a_token_nobody_can_verify_is_passed_on_and_never_kept() {
    let body = json!({"token": TestKey::foreign().sign(&claims())}).to_string();
    let fixture = Fixture::new(TokenServer::saying(200, &[], body.clone()).await);
    for asked in 1..=2 {
        let Issued::Token(token) = fixture.issue(ada()).await else { panic!("no token") };
        assert_eq!((token.verified, fixture.server.asked()), (false, asked));
        assert_eq!(token.body.expose(), body.as_bytes());
    }
}

/// Grants each login a token of its own, once `gate` is open.
async fn granting_each_its_own(gate: Arc<Semaphore>) -> TokenServer {
    TokenServer::start(move |request: Received| {
        let gate = Arc::clone(&gate);
        async move {
            let Authorization::Basic { user, .. } = Authorization::parse(&request.headers["authorization"]) else {
                return refused(401, "UNAUTHORIZED", "who");
            };
            gate.acquire().await.unwrap().forget();
            grant(&claims_but("sub", json!(user)))
        }
    })
    .await
}

#[tokio::test]
async fn two_thousand_clients_of_fifty_credentials_cost_fifty_questions_and_get_their_own_tokens() {
    let gate = Arc::new(Semaphore::new(0));
    let fixture = Arc::new(Fixture::new(granting_each_its_own(Arc::clone(&gate)).await));
    let clients: Vec<_> = (0..2_000)
        .map(|number| {
            let (fixture, user) = (Arc::clone(&fixture), format!("user-{}", number % 50));
            tokio::spawn(async move {
                let mut request = ada();
                request.question.authorization = Authorization::basic(&user, "password");
                let (body, issued) = fixture.token(request).await;
                assert_eq!(issued.subject.as_deref(), Some(user.as_str()));
                let verifier = fixture.server.settings().verifier;
                let signed = verifier.verify(body["token"].as_str().unwrap().as_bytes()).unwrap();
                assert_eq!(signed.claims().subject.as_deref(), Some(user.as_str()));
            })
        })
        .collect();
    while fixture.server.asked() < 50 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(2_000);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(fixture.server.asked(), 50);
    let metrics = fixture.metrics.encode();
    assert!(metrics.contains(r#"tidegate_token_cache_total{result="miss"} 50"#), "{metrics}");
}

#[tokio::test]
async fn a_client_that_hangs_up_fails_none_of_the_fifty_who_wait_with_it() {
    let gate = Arc::new(Semaphore::new(0));
    let fixture = Arc::new(Fixture::new(granting_each_its_own(Arc::clone(&gate)).await));
    let start = || {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move { fixture.token(ada()).await.1 })
    };
    let leader = start();
    while fixture.server.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let followers: Vec<_> = (0..50).map(|_| start()).collect();
    tokio::task::yield_now().await;

    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    gate.add_permits(1);

    for follower in followers {
        assert_eq!(follower.await.unwrap().cache, Some(CacheResult::Coalesced));
    }
    assert_eq!(fixture.server.asked(), 1);
}

#[tokio::test]
async fn a_service_that_is_dropped_ends_its_sweeping() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);
    let inner = Arc::downgrade(&fixture.service.inner);
    drop(fixture);
    assert!(inner.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_nothing_depends_on_any_more_is_wiped_by_itself() {
    let fixture = Fixture::new(TokenServer::granting(claims()).await);
    fixture.token(ada()).await;
    assert!(fixture.service.inner.credentials.bytes() > 0);
    fixture.pass(361);
    tokio::time::sleep(SWEEP + Duration::from_secs(1)).await;
    assert_eq!(fixture.service.inner.credentials.bytes(), 0);
}

#[tokio::test]
async fn a_credential_that_may_only_pull_is_not_kept() {
    let pull = json!([{"type": "repository", "name": "group/project", "actions": ["pull"]}]);
    let fixture = Fixture::new(TokenServer::granting(claims_but("access", pull)).await);
    fixture.token(ada()).await;
    assert_eq!(fixture.service.inner.credentials.bytes(), 0);
}
