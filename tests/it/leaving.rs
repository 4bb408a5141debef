//! Leaving: what runs may finish, nothing new begins, and what was cut is said.

use bytes::Bytes;
use http::StatusCode;

use crate::support::client::{Ask, Door};
use crate::support::gateway::{Gateway, Setup};
use crate::support::soon;
use crate::support::stage::{PUSH, REPOSITORY, Stage, uploads};
use crate::support::wire::Ending;

/// Tells it to leave and waits until it has heard.
async fn draining(gateway: &mut Gateway) {
    gateway.leave();
    soon(async {
        while !gateway.drain().is_draining() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_running_upload_finishes_and_no_new_one_begins() {
    for door in [Door::Tls1, Door::Tls2] {
        let mut stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
        let mut connection = stage.gateway.connect().await;
        let patching = tokio::spawn(async move { connection.send(ask).await });
        body.send_data(Bytes::from("first")).await.unwrap();
        stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"first")).await;

        draining(&mut stage.gateway).await;
        let refused = stage.send(Ask::new("POST", &uploads(REPOSITORY)).token(&token)).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((refused.header("retry-after"), &refused.json()["errors"][0]["code"]), ("5", &"UNAVAILABLE".into()));
        let pulled = stage.send(Ask::new("GET", "/v2/group/project/manifests/latest").token(&token)).await;
        assert_eq!(pulled.status, StatusCode::OK);

        body.send_data(Bytes::from("second")).await.unwrap();
        drop(body);
        let patched = patching.await.unwrap();
        assert_eq!(patched.status, StatusCode::ACCEPTED);
        let put = format!("{}&digest=sha256:b", patched.header("location"));
        assert_eq!(stage.send(Ask::new("PUT", &put).token(&token)).await.status, StatusCode::CREATED);

        let report = stage.gateway.report().await;
        assert_eq!((report.requests, report.uploads, report.hurried), (0, 0, false), "{report:?}");
    }
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_named() {
    for drain in ["timeout = \"300ms\"", "timeout = \"1h\""] {
        let mut stage = Stage::with(Setup { drain: drain.to_owned(), ..Setup::default() }).await;
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        let (ask, mut body) = Ask::new("PATCH", &location).token(&token).streamed();
        let mut connection = stage.gateway.connect().await;
        let patching = tokio::spawn(async move { connection.begin(ask).await.is_ok() });
        body.send_data(Bytes::from("first")).await.unwrap();
        stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"first")).await;

        draining(&mut stage.gateway).await;
        if drain.contains("1h") {
            stage.gateway.hurry();
        }
        let report = stage.gateway.report().await;
        assert_eq!((report.requests, report.uploads, report.hurried), (1, 1, true), "{report:?}");
        assert_eq!(report.repositories.into_iter().collect::<Vec<_>>(), [REPOSITORY]);
        assert_eq!(stage.registry.wire.last_ended().await.ending, Ending::Cut);
        assert!(!soon(patching).await.unwrap(), "the client heard of a success");
    }
}
