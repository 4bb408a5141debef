//! How long a silence may be, and whose. The waits are configured to be short; nothing is measured.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, Stage};
use crate::support::wire::{Answer, Ending};

async fn with(door: Door, timeouts: &str) -> (Stage, String, String) {
    let stage = Stage::with(Setup { door, timeouts: timeouts.to_owned(), ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    (stage, token, location)
}

#[tokio::test]
async fn a_registry_that_takes_everything_and_never_answers_is_a_gateway_timeout() {
    for door in Door::ALL {
        let (stage, token, location) = with(door, "response = \"200ms\"").await;
        stage.registry.says("PATCH", Answer::Freeze(Vec::new()));
        let answer = stage.patch(&location, &token).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{door:?}");
        assert_eq!(answer.json()["errors"][0]["code"], "UNAVAILABLE");
        assert_eq!(stage.gateway.metric("tidegate_limit_hits_total{limit=\"response\"}"), 1);
    }
}

#[tokio::test]
async fn a_registry_whose_answers_head_trickles_is_a_gateway_timeout() {
    let never = "O".repeat(1000);
    let trickles = [
        ("a status line", "", format!("HTTP/1.1 202 {never}")),
        ("a field", "HTTP/1.1 202 Accepted\r\nA: ", never),
        ("fields", "HTTP/1.1 202 Accepted\r\n", "A: b\r\n".to_owned()),
        (
            "interim answers",
            "",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned(),
        ),
        ("an interim answer that was one", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 ", "A".repeat(1000)),
    ];
    for door in Door::ALL {
        // Each byte comes well within the time that all of them have.
        let (stage, token, location) = with(door, "response = \"300ms\"").await;
        let mut ended = 0;
        for (what, first, again) in &trickles {
            for (method, target) in [("GET", "/v2/group/project/blobs/sha256:b"), ("PATCH", location.as_str())] {
                stage.registry.says(method, Answer::Trickle(first.as_bytes().to_vec(), again.as_bytes().to_vec()));
                let ask = Ask::new(method, target).token(&token);
                let answer = stage.send(if method == "PATCH" { ask.body("layer") } else { ask }).await;
                assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{door:?}, {method}, {what}");
                assert_eq!(answer.json()["errors"][0]["code"], "UNAVAILABLE");
                ended += 1;
                assert_eq!(stage.gateway.metric("tidegate_limit_hits_total{limit=\"response\"}"), ended);
                stage.registry.wire.closed(stage.registry.last().connection).await;
            }
        }
    }
}

#[tokio::test]
async fn the_wait_for_the_answer_begins_with_the_last_byte() {
    for door in Door::ALL {
        let (stage, token, location) = with(door, "response = \"200ms\"").await;
        stage.registry.says("PATCH", Answer::Freeze(Vec::new()));
        let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
        let mut connection = stage.gateway.connect().await;
        let sending = tokio::spawn(async move { connection.send(ask).await });
        body.send_data(Bytes::from("first")).await.unwrap();
        stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"first")).await;
        // Three times as long as the registry would be given.
        let mut sending = std::pin::pin!(sending);
        let early = tokio::time::timeout(Duration::from_millis(600), sending.as_mut()).await;
        assert!(early.is_err(), "{door:?}: it was answered while the client still sent: {early:?}");
        drop(body);
        assert_eq!(sending.await.unwrap().status, StatusCode::GATEWAY_TIMEOUT);
    }
}

#[tokio::test]
async fn a_client_that_stalls_in_its_body_leaves_the_registry_a_cut_one() {
    for door in Door::ALL {
        let (stage, token, location) = with(door, "idle = \"300ms\"").await;
        let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
        let mut connection = stage.gateway.connect().await;
        body.send_data(Bytes::from("first")).await.unwrap();
        let answer = connection.send(ask).await;
        assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT, "{door:?}");
        assert_eq!(stage.registry.wire.last_ended().await.ending, Ending::Cut, "{door:?}");
        assert_eq!(stage.gateway.metric("tidegate_limit_hits_total{limit=\"idle\"}"), 1);
    }
}

#[tokio::test]
async fn a_registry_that_stalls_in_its_answer_leaves_the_client_a_broken_one() {
    for door in Door::ALL {
        let (stage, token, _) = with(door, "idle = \"300ms\"").await;
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec();
        stage.registry.says("GET", Answer::Freeze(half));
        let answer = stage.send(Ask::new("GET", "/v2/group/project/blobs/sha256:b").token(&token)).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"half"[..]));
        assert!(answer.broken, "{door:?}: a part was passed off as the whole");
    }
}
