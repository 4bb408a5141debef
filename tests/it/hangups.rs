//! Whoever goes away in the middle of something: the other side is told at once, and never that all was there.

use bytes::Bytes;
use http::StatusCode;
use tidegate::base::clock::Clock;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::registry::Registry;
use crate::support::stage::{PUSH, REPOSITORY, START, Stage, uploads};
use crate::support::wire::{Answer, Ending};

async fn at(door: Door) -> (Stage, String) {
    let stage = Stage::with(Setup { door, ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    (stage, token)
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_the_registry_a_cut_body() {
    for door in Door::ALL {
        for length in [None, Some("100")] {
            let (stage, token) = at(door).await;
            let location = stage.open(&token).await;
            let mut ask = Ask::new("PATCH", &location).token(&token);
            if let Some(length) = length {
                ask = ask.header("content-length", length);
            }
            let (ask, mut body) = ask.streamed();
            let mut connection = stage.gateway.connect().await;
            let sending = tokio::spawn(async move { connection.begin(ask).await });
            body.send_data(Bytes::from("half a layer")).await.unwrap();
            stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"half a layer")).await;
            assert_eq!(stage.registry.last().header("content-length"), length, "{door:?}");

            // The connection goes with the task.
            sending.abort();
            let seen = stage.registry.wire.last_ended().await;
            assert_eq!((seen.ending, &seen.body[..]), (Ending::Cut, &b"half a layer"[..]), "{door:?} {length:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_resets_one_stream_leaves_the_registry_a_cut_body() {
    let (stage, token) = at(Door::Tls2).await;
    let location = stage.open(&token).await;
    let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
    let mut connection = stage.gateway.connect().await;
    let feed = async {
        body.send_data(Bytes::from("half")).await.unwrap();
        stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"half")).await;
        body.abort(std::io::Error::other("given up").into());
        stage.registry.wire.last_ended().await
    };
    let (answer, seen) = tokio::join!(connection.begin(ask), feed);
    assert!(answer.is_err());
    assert_eq!(seen.ending, Ending::Cut);
    // The connection is good for other requests.
    assert_eq!(connection.send(Ask::new("GET", "/v2/").token(&token)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_whose_chunks_make_no_sense_leaves_the_registry_a_cut_body() {
    for nonsense in ["zz\r\n", "5\r\nlayerX", "-1\r\n", "ffffffffffffffffff\r\n"] {
        let (stage, token) = at(Door::Plain).await;
        let location = stage.open(&token).await;
        let mut client = stage.gateway.raw().await;
        let head = format!(
            "PATCH {location} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlayer\r\n"
        );
        client.write(head).await.unwrap();
        stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"layer")).await;
        client.write(nonsense).await.unwrap();
        let seen = stage.registry.wire.last_ended().await;
        assert_eq!(seen.ending, Ending::Cut, "{nonsense:?}");
    }
}

#[tokio::test]
async fn a_registry_that_hangs_up_in_the_middle_of_its_answer_leaves_the_client_a_broken_one() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf a blob",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhalf a blob\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhalf a blob\r\nzz\r\n",
    ];
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        for answer in answers {
            stage.registry.says("GET", Answer::Last(answer.into()));
            let answer = stage.send(Ask::new("GET", "/v2/group/project/blobs/sha256:b").token(&token)).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"half a blob"[..]));
            assert!(answer.broken, "{door:?}: a part was passed off as the whole");
        }
    }
}

#[tokio::test]
async fn a_registry_that_hangs_up_without_an_answer_is_a_bad_gateway_and_asked_once() {
    let nonsense = [
        "",
        "HTTP/1.1 200",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ];
    for answer in nonsense {
        let (stage, token) = at(Door::Plain).await;
        let location = stage.open(&token).await;
        stage.registry.says("PATCH", Answer::Last(answer.into()));
        let answered = stage.patch(&location, &token).await;
        assert_eq!(answered.status, StatusCode::BAD_GATEWAY, "{answer:?}");
        assert_eq!(answered.json()["errors"][0]["code"], "UNAVAILABLE");
        assert_eq!(stage.registry.requests().len(), 2, "{answer:?}: it was sent again");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unavailable_for_the_moment() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut stage = Stage::new().await;
    stage.gateway =
        crate::support::gateway::Gateway::start(&Setup::default(), &stage.clock, stage.authority.wire.address, nobody)
            .await;
    let token = stage.token("ada", PUSH).await;
    let answer = stage.send(Ask::new("POST", &uploads(REPOSITORY)).token(&token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(answer.json()["errors"][0]["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn with_one_origin_gone_the_other_takes_what_was_not_sent() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let stage = Stage::with(Setup { origins: vec![nobody], ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    for _ in 0..4 {
        let ask = Ask::new("PUT", "/v2/group/project/manifests/latest").token(&token).body("{}");
        assert_eq!(stage.send(ask).await.status, StatusCode::CREATED);
        assert_eq!(stage.registry.last().body, b"{}");
    }
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_to_another_origin() {
    let second = Registry::start(Clock::manual(START)).await;
    let stage = Stage::with(Setup { origins: vec![second.wire.address], ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    for registry in [&stage.registry, &second] {
        registry.says("PUT", Answer::Last(Vec::new()));
    }
    let ask = Ask::new("PUT", "/v2/group/project/manifests/latest").token(&token);
    assert_eq!(stage.send(ask).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(stage.registry.requests().len() + second.requests().len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_frees_the_registry() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        stage.registry.says("GET", Answer::Tunnel(Vec::new()));
        let mut connection = stage.gateway.connect().await;
        let ask = Ask::new("GET", "/v2/group/project/manifests/latest").token(&token);
        let sending = tokio::spawn(async move { connection.begin(ask).await });
        stage.registry.wire.until(|all| !all.is_empty()).await;
        sending.abort();
        // The double's connection ends when the gateway closes its own.
        stage.registry.wire.closed(0).await;
    }
}
