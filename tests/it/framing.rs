//! A message keeps its shape in both directions: what had a length has it, what came in chunks goes in chunks.

use bytes::Bytes;
use http::HeaderMap;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage, uploads};
use crate::support::wire::{Answer, Ending, reply};

async fn at(door: Door) -> (Stage, String) {
    let stage = Stage::with(Setup { door, ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    (stage, token)
}

#[tokio::test]
async fn a_length_arrives_as_a_length() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let location = stage.open(&token).await;
        let answer = stage.send(Ask::new("PATCH", &location).token(&token).body("layer")).await;
        assert_eq!(answer.status, 202);
        let seen = stage.registry.last();
        assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (Some("5"), None), "{door:?}");
        assert_eq!((&seen.body[..], seen.ending), (&b"layer"[..], Ending::Complete));
    }
}

#[tokio::test]
async fn what_has_no_length_arrives_in_chunks() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let location = stage.open(&token).await;
        let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
        let mut connection = stage.gateway.connect().await;
        let feed = async {
            for part in ["la", "y", "er"] {
                body.send_data(Bytes::from(part)).await.unwrap();
            }
            drop(body);
        };
        let (answer, ()) = tokio::join!(connection.send(ask), feed);
        assert_eq!(answer.status, 202);
        let seen = stage.registry.last();
        let framing = (seen.header("content-length"), seen.header("transfer-encoding"));
        assert_eq!(framing, (None, Some("chunked")), "{door:?}");
        assert_eq!((&seen.body[..], seen.ending), (&b"layer"[..], Ending::Complete));
    }
}

#[tokio::test]
async fn a_body_is_on_its_way_to_the_registry_before_it_has_ended() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let location = stage.open(&token).await;
        let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
        let mut connection = stage.gateway.connect().await;
        let feed = async {
            body.send_data(Bytes::from("first")).await.unwrap();
            stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"first")).await;
            body.send_data(Bytes::from("second")).await.unwrap();
            drop(body);
        };
        let (answer, ()) = tokio::join!(connection.send(ask), feed);
        assert_eq!(answer.status, 202, "{door:?}");
    }
}

#[tokio::test]
async fn an_empty_body_says_so() {
    let (stage, token) = at(Door::Plain).await;
    for (method, target) in [("POST", uploads(REPOSITORY)), ("PUT", "/v2/group/project/manifests/l".to_owned())] {
        let mut client = stage.gateway.raw().await;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        client.write(head).await.unwrap();
        let answer = client.head().await;
        assert_eq!(answer.header("content-length"), Some("0"), "{}", answer.text);
        assert_eq!(answer.header("transfer-encoding"), None);
        let seen = stage.registry.last();
        assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (Some("0"), None), "{method}");
    }
}

#[tokio::test]
async fn the_answer_to_a_head_keeps_the_length_of_what_it_does_not_hold() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nDocker-Content-Digest: sha256:b\r\n\r\n";
        stage.registry.says("HEAD", Answer::Reply(answer.to_vec()));
        let mut connection = stage.gateway.connect().await;
        for _ in 0..2 {
            let answer = connection.send(Ask::new("HEAD", "/v2/group/project/blobs/sha256:b").token(&token)).await;
            assert_eq!(answer.header("content-length"), "12345", "{door:?}");
            assert_eq!(answer.header("docker-content-digest"), "sha256:b");
            assert!(answer.body.is_empty() && !answer.broken);
        }
    }
}

#[tokio::test]
async fn an_answer_with_a_length_keeps_it() {
    let (stage, token) = at(Door::Plain).await;
    stage.registry.says("GET", Answer::Reply(reply("200 OK", &[("Content-Encoding", "gzip")], b"\x1f\x8b\0\x01rest")));
    let mut client = stage.gateway.raw().await;
    let head = format!(
        "GET /v2/group/project/blobs/sha256:b HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    client.write(head).await.unwrap();
    let answer = client.head().await;
    assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (Some("8"), None));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(client.take(8).await, b"\x1f\x8b\0\x01rest");
}

#[tokio::test]
async fn an_answer_in_chunks_stays_in_chunks() {
    let (stage, token) = at(Door::Plain).await;
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    stage.registry.says("GET", Answer::Reply(chunked.to_vec()));
    let mut client = stage.gateway.raw().await;
    let head = format!(
        "GET /v2/group/project/tags/list HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    client.write(head).await.unwrap();
    let answer = client.head().await;
    assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (None, Some("chunked")));
    let answer = stage.send(Ask::new("GET", "/v2/group/project/tags/list").token(&token)).await;
    assert_eq!(&answer.body[..], b"abcde");
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let location = stage.open(&token).await;
        let chunked = format!(
            "HTTP/1.1 202 Accepted\r\nTrailer: x-after\r\nTransfer-Encoding: chunked\r\nLocation: {}\r\n\r\n\
             3\r\nabc\r\n0\r\nx-after: done\r\n\r\n",
            location.split('?').next().unwrap()
        );
        stage.registry.says("PATCH", Answer::Reply(chunked.into_bytes()));
        let ask = Ask::new("PATCH", &location).token(&token).header("te", "trailers").header("trailer", "x-sum");
        let (ask, mut body) = ask.streamed();
        let mut connection = stage.gateway.connect().await;
        let feed = async {
            body.send_data(Bytes::from("layer")).await.unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "12".parse().unwrap());
            body.send_trailers(trailers).await.unwrap();
            drop(body);
        };
        let (answer, ()) = tokio::join!(connection.send(ask), feed);
        assert_eq!(stage.registry.last().trailers, [("x-sum".to_owned(), b"12".to_vec())], "{door:?}");
        assert_eq!(answer.trailers.get("x-after").map(|value| value.as_bytes()), Some(&b"done"[..]), "{door:?}");
    }
}

#[tokio::test]
async fn answers_about_parts_and_states_pass_as_they_are() {
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [u8]);
    let rows: [Row; 6] = [
        ("206 Partial Content", &[("Content-Range", "bytes 2-4/10"), ("ETag", "\"sha256:b\"")], b"cde"),
        ("304 Not Modified", &[("ETag", "\"sha256:b\"")], b""),
        ("416 Requested Range Not Satisfiable", &[("Content-Range", "bytes */10")], b"{\"errors\":[]}"),
        ("404 Not Found", &[("Content-Type", "application/json")], b"{\"errors\":[{\"code\":\"BLOB_UNKNOWN\"}]}"),
        ("429 Too Many Requests", &[("Retry-After", "9")], b"{\"errors\":[{\"code\":\"TOOMANYREQUESTS\"}]}"),
        ("503 Service Unavailable", &[("Retry-After", "3"), ("Warning", "299 - \"x\"")], b"{}"),
    ];
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        for (status, headers, body) in rows {
            stage.registry.says("GET", Answer::Reply(reply(status, headers, body)));
            let ask = Ask::new("GET", "/v2/group/project/blobs/sha256:b").token(&token);
            let ask = ask.header("range", "bytes=2-4").header("if-none-match", "\"sha256:b\"");
            let answer = stage.send(ask).await;
            assert!(status.starts_with(answer.status.as_str()), "{door:?} {status}: {answer:?}");
            assert_eq!(&answer.body[..], body, "{door:?} {status}");
            for (name, value) in headers {
                assert_eq!(answer.header(name), *value);
            }
            let seen = stage.registry.last();
            assert_eq!((seen.header("range"), seen.header("if-none-match")), (Some("bytes=2-4"), Some("\"sha256:b\"")));
        }
    }
}

#[tokio::test]
async fn interim_answers_of_the_registry_end_here() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let mut bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n".to_vec();
        bytes.extend(reply("200 OK", &[], b"{}"));
        stage.registry.says("GET", Answer::Reply(bytes));
        let answer = stage.send(Ask::new("GET", "/v2/").token(&token)).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]));
        assert!(!answer.headers.contains_key("link"));
    }
}

#[tokio::test]
async fn many_megabytes_arrive_whole_in_both_directions() {
    let layer: Bytes = (0..6_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let location = stage.open(&token).await;
        let answer = stage.send(Ask::new("PATCH", &location).token(&token).body(layer.clone())).await;
        assert_eq!(answer.status, 202);
        assert!(stage.registry.last().body == layer, "{door:?}");
        stage.registry.says("GET", Answer::Reply(reply("200 OK", &[], &layer)));
        let answer = stage.send(Ask::new("GET", "/v2/group/project/blobs/sha256:b").token(&token)).await;
        assert!(answer.body == layer && !answer.broken, "{door:?}");
    }
}
