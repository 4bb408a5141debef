//! An answer that comes before the body has: passed on at once, and heard by clients that still write.

use std::process::Stdio;

use bytes::Bytes;
use http::StatusCode;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::soon;
use crate::support::stage::{PUSH, Stage};
use crate::support::wire::{Answer, reply};

/// More than all buffers on the way hold together.
const LAYER: usize = 12 << 20;

/// A stage whose registry refuses every PATCH by its head and reads nothing of it; an upload, and its token.
async fn refusing(door: Door) -> (Stage, String, String) {
    let stage = Stage::with(Setup { door, ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    let refusal = reply("400 Bad Request", &[("Content-Type", "application/json")], b"{\"errors\":[\"early\"]}");
    stage.registry.says_early("PATCH", Answer::Freeze(refusal));
    (stage, token, location)
}

#[tokio::test]
async fn it_is_passed_on_while_the_client_still_sends() {
    for door in Door::ALL {
        let (stage, token, location) = refusing(door).await;
        let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
        let mut connection = stage.gateway.connect().await;
        body.send_data(Bytes::from("first")).await.unwrap();
        let answer = connection.send(ask).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::BAD_REQUEST, &b"{\"errors\":[\"early\"]}"[..]));
        drop(body);
    }
}

#[tokio::test]
async fn what_was_not_read_of_a_body_is_never_read_as_the_next_request() {
    for door in Door::ALL {
        let (stage, token, location) = refusing(door).await;
        stage.registry.says_early("PATCH", Answer::Reply(reply("400 Bad Request", &[], b"")));
        let smuggled = "DELETE /v2/group/project/manifests/latest HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        let answer = stage.send(Ask::new("PATCH", &location).token(&token).body(smuggled.repeat(64))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{door:?}");
        let answer = stage.send(Ask::new("GET", "/v2/group/project/manifests/latest").token(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let seen = stage.registry.requests();
        let patched = seen.iter().position(|request| request.method == "PATCH").unwrap();
        assert_ne!(seen[patched].connection, seen.last().unwrap().connection, "{door:?}");
    }
}

#[tokio::test]
async fn ours_is_given_before_the_body_is_asked_for() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let (ask, body) = Ask::new("PATCH", "/v2/group/project/blobs/uploads/u").streamed();
        let answer = stage.gateway.connect().await.send(ask).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{door:?}");
        drop(body);
    }
}

#[tokio::test]
async fn a_client_that_writes_everything_first_hears_it() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token, location) = refusing(door).await;
        let lines = [format!("Authorization: Bearer {token}\r\n"), String::new()];
        for (authorization, status) in lines.into_iter().zip([400, 401]) {
            let mut client = stage.gateway.raw().await;
            let head = format!(
                "PATCH {location} HTTP/1.1\r\nHost: registry.test\r\n{authorization}Content-Length: {LAYER}\r\n\r\n"
            );
            client.write(head).await.unwrap();
            client.write(vec![0; LAYER]).await.unwrap();
            assert_eq!(client.head().await.status(), status, "{door:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_writes_while_it_reads_hears_it() {
    for door in Door::ALL {
        let (stage, token, location) = refusing(door).await;
        let layer = Bytes::from(vec![0; LAYER]);
        let rows = [(Some(token), StatusCode::BAD_REQUEST), (None, StatusCode::UNAUTHORIZED)];
        for (token, status) in rows {
            let mut ask = Ask::new("PATCH", &location).body(layer.clone());
            if let Some(token) = token {
                ask = ask.token(&token);
            }
            let mut connection = stage.gateway.connect().await;
            assert_eq!(connection.send(ask).await.status, status, "{door:?}");
        }
    }
}

#[tokio::test]
async fn curl_hears_it_every_time() {
    let files = tempfile::tempdir().unwrap();
    let layer = files.path().join("layer");
    std::fs::write(&layer, vec![0; LAYER]).unwrap();
    for (door, scheme, version) in
        [(Door::Plain, "http", "--http1.1"), (Door::Tls1, "https", "--http1.1"), (Door::Tls2, "https", "--http2")]
    {
        let (stage, token, location) = refusing(door).await;
        let rows = [(format!("Authorization: Bearer {token}"), "400"), ("X-None: 1".to_owned(), "401")];
        for (header, status) in rows {
            for _ in 0..4 {
                let curl = tokio::process::Command::new("curl")
                    .args(["-sSk", version, "-X", "PATCH", "-H", "Expect:", "-H", &header, "-o", "/dev/null"])
                    .args(["-w", "%{http_code}", "--connect-to", &format!("registry.test::{}", stage.gateway.address)])
                    .arg("-T")
                    .arg(&layer)
                    .arg(format!("{scheme}://registry.test{location}"))
                    .stdin(Stdio::null())
                    .output();
                let output = soon(curl).await.expect("this test runs curl");
                let said = String::from_utf8_lossy(&output.stdout);
                assert_eq!(said, status, "{door:?}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}
