//! What is seen of a request afterwards: one line and some numbers, and no secret in any of it.

use http::StatusCode;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage, ticket, uploads, without_ticket};
use crate::support::wire::{Answer, reply};
use crate::support::{CANARY, log, tokens};

#[tokio::test]
async fn a_rescue_is_written_down_as_one() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();
    let id = tokens::unique();
    let ask = Ask::new("PATCH", &location).token(&token).header("x-request-id", &id).header("user-agent", "crane/1");
    assert_eq!(stage.send(ask.body("layer")).await.status, StatusCode::ACCEPTED);

    let line = log::access(&id).await;
    let expected = serde_json::json!({
        "route": "upload", "method": "PATCH", "status": 202, "site": "registry.test", "repository": REPOSITORY,
        "subject": "ada", "auth_type": "personal_access_token", "token_age_s": 360, "token_left_s": -60,
        "rescued": true, "renew": "resign", "bytes_in": 5, "client": "127.0.0.1", "user_agent": "crane/1",
        "origin": stage.registry.wire.address.to_string(), "protocol": "HTTP/1.1",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&line[field], value, "{field} of {line}");
    }
    assert!(line["ttfb_ms"].is_u64() && line["body_ms"].is_u64(), "{line}");
    assert!(line.get("error").is_none_or(serde_json::Value::is_null), "{line}");
}

#[tokio::test]
async fn rescues_are_counted_by_request_and_by_upload() {
    for renew in ["resign", "exchange"] {
        let stage = Stage::with(Setup { renew, ..Setup::default() }).await;
        let rescues = format!("tidegate_rescues_total{{renew=\"{renew}\"}}");
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        let mut location = stage.goes_on(&location, &token).await;
        assert_eq!(stage.gateway.metric(&rescues), 0);
        assert_eq!(stage.gateway.metric("tidegate_uploads_active"), 1);
        stage.lapse();
        for _ in 0..3 {
            location = stage.goes_on(&location, &token).await;
        }
        assert_eq!(stage.gateway.metric(&rescues), 3);
        assert_eq!(stage.gateway.metric("tidegate_uploads_rescued_total"), 0, "it has not ended yet");
        let answer = stage.send(Ask::new("PUT", &format!("{location}&digest=sha256:b")).token(&token)).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(stage.gateway.metric("tidegate_uploads_active"), 0);
        assert_eq!(stage.gateway.metric("tidegate_uploads_rescued_total"), 1);
    }
}

#[tokio::test]
async fn a_refusal_is_counted_under_its_reason() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    let get = |token: &str| Ask::new("GET", "/v2/group/project/manifests/latest").token(token);
    stage.send(Ask::new("GET", "/v2/")).await;
    stage.send(get("nonsense")).await;
    let foreign = tokens::claims_of("ada", REPOSITORY, &["pull"], stage.clock.now().0).to_string();
    stage.send(get(&tokens::Key::foreign().sign(&foreign))).await;
    stage.send(Ask::new("DELETE", &location).token(&token)).await;
    stage.lapse();
    stage.send(get(&token)).await;
    for reason in ["missing", "malformed", "key", "scope", "lapsed"] {
        assert_eq!(stage.gateway.metric(&format!("tidegate_denied_total{{reason=\"{reason}\"}}")), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_client_that_left_and_a_registry_that_broke_off_are_told_apart() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let id = tokens::unique();
    stage.registry.says("GET", Answer::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()));
    let ask = Ask::new("GET", "/v2/group/project/blobs/sha256:b").token(&token).header("x-request-id", &id);
    assert!(stage.send(ask).await.broken);
    assert_eq!(log::access(&id).await["error_side"], "upstream");

    let id = tokens::unique();
    let location = stage.open(&token).await;
    let (ask, mut body) = Ask::new("PATCH", &location).token(&token).header("x-request-id", &id).streamed();
    let mut connection = stage.gateway.connect().await;
    let sending = tokio::spawn(async move { connection.begin(ask).await });
    body.send_data("half".into()).await.unwrap();
    stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"half")).await;
    sending.abort();
    let line = log::access(&id).await;
    assert_eq!((&line["error_side"], &line["bytes_in"]), (&"client".into(), &4.into()), "{line}");
}

/// Every way in which something secret comes in or goes out, ending in the log and in the numbers. The log of the
/// other tests is watched in the same way: a gateway that is dropped looks.
#[tokio::test]
async fn nothing_secret_is_written_anywhere() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        let canary = || {
            let header = format!("Bearer {CANARY}");
            [("authorization", header), ("proxy-authorization", CANARY.to_owned()), ("cookie", CANARY.to_owned())]
        };
        let plant = |ask: Ask| canary().into_iter().fold(ask, |ask, (name, value)| ask.header(name, value));

        stage.send(plant(Ask::new("GET", "/v2/group/project/manifests/latest"))).await;
        stage.send(plant(Ask::new("PATCH", &location))).await;
        stage.send(plant(Ask::new("GET", &format!("/jwt/auth?service={CANARY}&scope={CANARY}&account=x")))).await;
        let form = format!("grant_type=password&username=x&password={CANARY}&service=container_registry");
        stage.send(Ask::new("POST", "/jwt/auth").body(form)).await;
        stage.send(Ask::new("POST", "/jwt/auth").body(format!("grant_type={CANARY}&refresh_token={CANARY}"))).await;
        stage.send(Ask::new("GET", &format!("/nothing?token={CANARY}"))).await;
        stage.send(Ask::new("PATCH", &format!("{location}&_tidegate={}", ticket(&location))).token(&token)).await;
        stage.send(Ask::new("GET", &format!("{}&_tidegate={CANARY}", without_ticket(&location))).token(&token)).await;
        stage.lapse();
        stage.patch(&without_ticket(&location), &token).await;
        let location = stage.goes_on(&location, &token).await;

        let secret = [("Location", "https://CANARY.test/CANARY"), ("Set-Cookie", CANARY), ("WWW-Authenticate", CANARY)];
        stage.registry.says("PATCH", Answer::Reply(reply("202 Accepted", &secret, CANARY.as_bytes())));
        stage.patch(&location, &token).await;
        stage.registry.says("PATCH", Answer::Reply(reply("401 Unauthorized", &secret, CANARY.as_bytes())));
        stage.patch(&location, &token).await;
        stage.registry.says("PATCH", Answer::Last(format!("{CANARY}\r\n\r\n").into_bytes()));
        stage.patch(&location, &token).await;

        for said in ["200 OK", "401 Unauthorized", "403 Forbidden", "500 CANARY", "302 Found"] {
            stage.authority.says(Answer::Reply(reply(said, &secret, CANARY.as_bytes())));
            stage.advance(61);
            stage.patch(&location, &token).await;
            let target = format!("/jwt/auth?service=container_registry&scope={}", uploads(said));
            let ask = Ask::new("GET", &target.replace(' ', "")).header("authorization", stage.authority.basic("ada"));
            stage.send(ask).await;
        }
        let token = format!("{{\"token\":\"{}\"}}", tokens::Key::foreign().sign(&format!("{{\"sub\":\"{CANARY}\"}}")));
        stage.authority.says(Answer::Reply(reply("200 OK", &[], token.as_bytes())));
        stage.send(Ask::new("GET", "/jwt/auth?service=container_registry").header("authorization", "Basic Og==")).await;

        let numbers = stage.gateway.metrics.encode();
        for secret in [CANARY, "eyJ", "_tidegate", "ada", REPOSITORY] {
            assert!(!numbers.contains(secret), "{secret} is in the metrics");
        }
    }
    log::assert_nothing_secret();
}
