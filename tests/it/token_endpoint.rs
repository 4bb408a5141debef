//! The token endpoint through the whole gateway: answers repaired, and nothing said that the authority did not say.

use http::StatusCode;
use serde_json::json;

use crate::support::authority::{denied, unauthorized};
use crate::support::client::Ask;
use crate::support::gateway::Setup;
use crate::support::log;
use crate::support::stage::{PUSH, Stage};
use crate::support::wire::{Answer, reply};

fn ask(stage: &Stage) -> Ask {
    let target = format!("/jwt/auth?service=container_registry&scope={PUSH}&account=ada");
    Ask::new("GET", &target).header("authorization", stage.authority.basic("ada"))
}

#[tokio::test]
async fn an_answer_is_told_how_long_it_holds_and_its_other_name() {
    let stage = Stage::new().await;
    let answer = stage.send(ask(&stage)).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(body["expires_in"], 270);
    assert_eq!(body["token"], body["access_token"]);
    assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
}

#[tokio::test]
async fn a_token_is_handed_out_again_only_while_it_covers_what_the_client_will_assume() {
    let stage = Stage::new().await;
    let first = stage.send(ask(&stage)).await.json();
    stage.advance(210);
    let second = stage.send(ask(&stage)).await.json();
    assert_eq!(first["token"], second["token"]);
    assert_eq!(second["expires_in"], 60);
    stage.advance(1);
    let third = stage.send(ask(&stage)).await.json();
    assert_ne!(first["token"], third["token"]);
    assert_eq!(stage.authority.wire.requests().len(), 2);
}

#[tokio::test]
async fn with_renewal_off_no_life_beyond_a_minute_is_announced() {
    let stage = Stage::with(Setup { renew: "off", ..Setup::default() }).await;
    assert_eq!(stage.send(ask(&stage)).await.json()["expires_in"], 60);
}

#[tokio::test]
async fn many_who_ask_the_same_at_once_are_one_question() {
    let stage = Stage::new().await;
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(stage.gateway.connect().await);
    }
    let mut asking = tokio::task::JoinSet::new();
    for mut connection in connections {
        let ask = ask(&stage);
        asking.spawn(async move { connection.send(ask).await.json()["token"].clone() });
    }
    let tokens = asking.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0] && !token.is_null()));
    assert_eq!(stage.authority.wire.requests().len(), 1);
}

#[tokio::test]
async fn a_cached_token_is_nobody_elses() {
    let stage = Stage::new().await;
    stage.send(ask(&stage)).await;
    let target = format!("/jwt/auth?service=container_registry&scope={PUSH}&account=ada");
    let wrong = Ask::new("GET", &target).header("authorization", "Basic YWRhOndyb25n");
    assert_eq!(stage.send(wrong).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.send(Ask::new("GET", &target)).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_is_asked_for_as_the_get_it_stands_for() {
    let stage = Stage::new().await;
    let password = stage.authority.account("ada").password;
    let form = format!(
        "grant_type=password&username=ada&password={password}&service=container_registry&scope=repository%3Agroup%2Fproject%3Apull&client_id=containerd-client"
    );
    let ask = Ask::new("POST", "/jwt/auth").header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = stage.send(ask).await;

    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json()["access_token"], answer.json()["token"]);
    let asked = stage.authority.wire.requests().pop().unwrap();
    assert_eq!((asked.method.as_str(), asked.path()), ("GET", "/jwt/auth"));
    assert_eq!(asked.header("authorization"), Some(&*stage.authority.basic("ada")));
    assert!(!asked.target.contains(&password));
    assert!(asked.body.is_empty());
}

#[tokio::test]
async fn a_form_with_another_grant_is_answered_as_gitlab_answers_every_form() {
    let stage = Stage::new().await;
    let form = "grant_type=refresh_token&refresh_token=CANARY&service=container_registry";
    let ask = Ask::new("POST", "/jwt/auth").header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = stage.send(ask).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_FOUND, 0));
    assert_eq!(stage.authority.wire.requests().len(), 0);
}

#[tokio::test]
async fn a_denial_is_passed_on_as_it_was_said() {
    let not_found = reply("404 Not Found", &[("Content-Type", "text/plain")], b"registry not enabled");
    let teapot = reply("418 I'm a teapot", &[("Content-Type", "text/plain")], b"short and stout");
    for (status, said) in [(401, unauthorized()), (403, denied()), (404, not_found), (418, teapot)] {
        let stage = Stage::new().await;
        stage.authority.says(Answer::Reply(said.clone()));
        let answer = stage.send(ask(&stage)).await;
        assert_eq!(answer.status, status);
        assert!(said.ends_with(&answer.body) && !answer.body.is_empty(), "{answer:?}");
        let text = String::from_utf8(said).unwrap();
        assert!(text.contains(&format!("Content-Type: {}", answer.header("content-type"))));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_denial_is_remembered_for_seconds_and_for_that_credential_alone() {
    let stage = Stage::new().await;
    let account = stage.authority.account("ada");
    let asks = ask(&stage);
    stage.authority.revoke("ada");
    assert_eq!(stage.send(asks).await.status, StatusCode::UNAUTHORIZED);
    stage.authority.admit("ada", account);
    assert_eq!(stage.send(ask(&stage)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.authority.wire.requests().len(), 1);

    let other =
        Ask::new("GET", "/jwt/auth?service=container_registry&account=bob").header("authorization", "Basic eDp5");
    assert_eq!(stage.send(other).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.authority.wire.requests().len(), 2);

    stage.advance(5);
    assert_eq!(stage.send(ask(&stage)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_authority_in_trouble_is_never_a_denial() {
    let html = [("Content-Type", "text/html")];
    let rows = [
        ("an error", 503, Answer::Reply(reply("500 Internal Server Error", &html, b"<h1>500</h1>"))),
        ("a gateway's error", 503, Answer::Reply(reply("502 Bad Gateway", &html, b"<h1>502</h1>"))),
        ("a page", 503, Answer::Reply(reply("200 OK", &html, b"<h1>Sign in</h1>"))),
        ("an empty object", 503, Answer::Reply(reply("200 OK", &[], b"{}"))),
        ("a redirect", 503, Answer::Reply(reply("302 Found", &[("Location", "http://127.0.0.1:1/")], b""))),
        ("half an answer", 503, Answer::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"tok".to_vec())),
        ("no answer", 503, Answer::Last(Vec::new())),
        ("silence", 503, Answer::Freeze(Vec::new())),
        ("haste", 429, Answer::Reply(reply("429 Too Many Requests", &[("Retry-After", "17")], b"Retry later"))),
    ];
    for (what, status, said) in rows {
        let timeouts = "authority = \"300ms\"".to_owned();
        let stage = Stage::with(Setup { timeouts, ..Setup::default() }).await;
        stage.authority.says(said);
        let answer = stage.send(ask(&stage)).await;
        assert_eq!(answer.status, status, "{what}");
        let wait: u32 = answer.header("retry-after").parse().unwrap();
        assert_eq!(wait == 17, status == 429, "{what}");
        let code = answer.json()["errors"][0]["code"].clone();
        assert_eq!(code, if status == 429 { "TOOMANYREQUESTS" } else { "UNAVAILABLE" }, "{what}");
        // And nobody is sent away for seconds afterwards.
        stage.authority.says(None);
        assert_eq!(stage.send(ask(&stage)).await.status, StatusCode::OK, "{what}");
    }
}

#[tokio::test]
async fn a_stale_token_that_still_lives_is_better_than_an_error() {
    let stage = Stage::new().await;
    let first = stage.send(ask(&stage)).await.json();
    stage.authority.says(Answer::Reply(reply("500 Internal Server Error", &[], b"")));
    stage.advance(270);
    let stale = stage.send(ask(&stage)).await;
    assert_eq!(stale.json(), json!({ "token": first["token"], "access_token": first["token"] }));
    stage.advance(30);
    assert_eq!(stage.send(ask(&stage)).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_request_that_was_robbed_on_its_way_is_told_so() {
    let stage = Stage::new().await;
    let answer = stage.send(Ask::new("GET", "/jwt/auth?service=container_registry&account=ada")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let error = answer.json()["errors"][0].clone();
    assert_eq!(error["code"], "DENIED");
    assert!(error["message"].as_str().unwrap().contains("Authorization"), "{error}");
    assert_eq!(stage.authority.wire.requests().len(), 1);
    assert_eq!(stage.gateway.metric("tidegate_authorization_missing_total"), 1);
}

#[tokio::test]
async fn an_authority_that_lies_about_the_time_changes_no_answer() {
    let series = "tidegate_authority_clock_offset_seconds{authority=\"gitlab\"} ";
    let dates = [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some('-')),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some('2')),
        ("the day after tomorrow", None),
    ];
    for (date, sign) in dates {
        let stage = Stage::new().await;
        let dated = |status, body: &str| Answer::Reply(reply(status, &[("Date", date)], body.as_bytes()));
        let token = stage.authority.token("ada", PUSH);
        stage.authority.says(dated("200 OK", &json!({ "token": token }).to_string()));
        let answer = stage.send(ask(&stage)).await;
        assert_eq!(answer.json(), json!({ "token": token, "access_token": token, "expires_in": 270 }), "{date}");
        let location = stage.open(&token).await;
        stage.authority.says(dated("401 Unauthorized", ""));
        let target = format!("/jwt/auth?service=container_registry&scope={PUSH}");
        let other = Ask::new("GET", &target).header("authorization", "Basic Og==");
        assert_eq!(stage.send(other).await.status, StatusCode::UNAUTHORIZED, "{date}");
        // It is asked again in the middle of the push, and only what it says of the credential counts.
        stage.authority.says(dated("200 OK", &json!({ "token": token }).to_string()));
        stage.lapse();
        stage.goes_on(&location, &token).await;

        let numbers = stage.gateway.metrics.encode();
        let value = numbers.lines().find_map(|line| line.strip_prefix(series));
        assert_eq!(value.and_then(|value| value.chars().next()), sign, "{date}: {value:?}");
        if sign.is_some() {
            log::line(|line| line["message"].as_str().is_some_and(|said| said.contains("check NTP on both"))).await;
        }
    }
}
