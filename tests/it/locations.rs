//! Where an answer leads: never round the door, and otherwise exactly where it led before.

use http::StatusCode;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage, ticket, uploads, without_ticket};
use crate::support::wire::{Answer, reply};

#[tokio::test]
async fn an_uploads_location_is_path_absolute_and_ends_with_the_ticket() {
    let bases =
        ["", "http://registry.test", "https://registry.test:8443", "http://10.0.0.1:5000", "HTTPS://other.test"];
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let token = stage.token("ada", PUSH).await;
        for base in bases {
            stage.registry.locates_at(base);
            let location = stage.open(&token).await;
            let rest = location.strip_prefix("/v2/group/project/blobs/uploads/").unwrap();
            let (id, query) = rest.split_once('?').unwrap();
            assert_eq!(id.len(), 32);
            assert!(query.starts_with("_state=CANARY-") && query.contains("%3D%3D&_tidegate="), "{query}");
            assert!(ticket(&location).len() < 512);
        }
    }
}

#[tokio::test]
async fn every_step_has_a_location_of_that_kind() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    for method in ["GET", "HEAD", "PATCH"] {
        let answer = stage.send(Ask::new(method, &location).token(&token)).await;
        let next = answer.header("location");
        assert!(next.starts_with("/v2/group/project/blobs/uploads/"), "{method} {next}");
        assert!(next.contains("&_tidegate="), "{method} {next}");
    }
}

#[tokio::test]
async fn the_registry_gets_its_own_query_back_to_the_byte_and_no_ticket() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    let (path, state) = without_ticket(&location).split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let sealed = ticket(&location);
    let rows = [
        (format!("{state}&_tidegate={sealed}"), state.clone()),
        (format!("{state}&_tidegate={sealed}&digest=sha256%3Ab"), format!("{state}&digest=sha256%3Ab")),
        (format!("_tidegate={sealed}&{state}"), state.clone()),
        (format!("digest=sha256:b&_tidegate={sealed}&{state}"), format!("digest=sha256:b&{state}")),
        (format!("a=%2f%2F&&{state}&_tidegate={sealed}&"), format!("a=%2f%2F&&{state}&")),
        (format!("_tidegate2=x&{state}&x_tidegate=y&_tidegate={sealed}"), format!("_tidegate2=x&{state}&x_tidegate=y")),
    ];
    for (sent, arrives) in rows {
        stage.send(Ask::new("GET", &format!("{path}?{sent}")).token(&token)).await;
        assert_eq!(stage.registry.last().target, format!("{path}?{arrives}"));
    }
}

#[tokio::test]
async fn a_path_arrives_as_it_was_sent() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let targets = [
        "/v2/group/project/manifests/latest?",
        "/v2/group/project/tags/list?n=10&last=a%2Fb+c",
        "/v2/group/project/blobs/sha256:0123?x=%zz&y=%C3%A4",
    ];
    for target in targets {
        stage.send(Ask::new("GET", target).token(&token)).await;
        assert_eq!(stage.registry.last().target, target);
    }
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_goes_nowhere() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let targets = [
        "/v2/group/project/../secret/manifests/latest",
        "/v2/group/project/%2e%2e/secret/manifests/latest",
        "/v2/group%2Fproject/manifests/latest",
        "/v2//group/project/manifests/latest",
        "/v2/group/project/manifests/%6catest",
        "/v2/group/project/blobs/uploads/..",
    ];
    for target in targets {
        let answer = stage.send(Ask::new("GET", target).token(&token)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{target}: {answer:?}");
    }
    assert_eq!(stage.registry.requests().len(), 0);
}

#[tokio::test]
async fn a_location_of_something_else_is_the_registrys_mistake() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let opened = stage.open(&token).await;
    let foreign = [
        "/v2/group/other/blobs/uploads/u1?_state=x",
        "https://evil.test/v2/group/projectx/blobs/uploads/u1",
        "//evil.test/v2/group/project/blobs/uploads/u1",
        "/v2/group/project/manifests/u1",
        "/elsewhere",
        "ftp://registry.test/v2/group/project/blobs/uploads/u1",
        "/v2/group/project/blobs/uploads/u1?_tidegate=x",
        "\\\\evil.test\\v2/group/project/blobs/uploads/u1",
    ];
    for location in foreign {
        let accepted = reply("202 Accepted", &[("Location", location)], b"");
        stage.registry.says("POST", Answer::Reply(accepted.clone()));
        stage.registry.says("PATCH", Answer::Reply(accepted));
        let post = stage.send(Ask::new("POST", &uploads(REPOSITORY)).token(&token)).await;
        let patch = stage.patch(&opened, &token).await;
        for answer in [post, patch] {
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{location}");
            assert!(!answer.headers.contains_key("location"));
        }
    }
    // An upload does not become another one.
    let other = reply("202 Accepted", &[("Location", "/v2/group/project/blobs/uploads/u1")], b"");
    stage.registry.says("PATCH", Answer::Reply(other));
    assert_eq!(stage.patch(&opened, &token).await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn what_was_created_keeps_its_location() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    for location in ["/v2/group/project/blobs/sha256:b", "http://registry.test/v2/group/project/blobs/sha256:b"] {
        stage.registry.says("POST", Answer::Reply(reply("201 Created", &[("Location", location)], b"")));
        let target = format!("{}?mount=sha256:b", uploads(REPOSITORY));
        let answer = stage.send(Ask::new("POST", &target).token(&token)).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::CREATED, location));
    }
}

/// A stage whose registry redirects every GET to `location`, and a token to pull.
async fn redirecting(registry: &str, location: &str) -> (Stage, String) {
    let stage = Stage::with(Setup { registry: registry.to_owned(), ..Setup::default() }).await;
    let answer = reply("307 Temporary Redirect", &[("Location", location)], b"");
    stage.registry.says("GET", Answer::Reply(answer));
    let token = stage.token("ada", PUSH).await;
    (stage, token)
}

const STORAGE: &str = "https://bucket.storage.test/a%2Fb?X-Amz-Signature=%61bc&b=1&a=%2B";
const BLOB: &str = "/v2/group/project/blobs/sha256:b";

#[tokio::test]
async fn a_blobs_way_to_the_storage_passes_to_the_byte() {
    for registry in ["", "redirects = \"pass\"", "redirects = [\"bucket.storage.test\"]"] {
        let (stage, token) = redirecting(registry, STORAGE).await;
        let answer = stage.send(Ask::new("GET", BLOB).token(&token)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (307, STORAGE), "{registry}");
    }
}

#[tokio::test]
async fn a_blobs_way_to_a_storage_that_is_not_wanted_ends_here() {
    for registry in ["redirects = \"refuse\"", "redirects = [\"storage.test\"]"] {
        let (stage, token) = redirecting(registry, STORAGE).await;
        let answer = stage.send(Ask::new("GET", BLOB).token(&token)).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{registry}");
        assert!(!answer.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn nothing_but_a_blob_may_lead_to_another_host() {
    for location in ["https://evil.test/v2/", "//evil.test/v2/", "http://registry.test.evil.test/"] {
        let (stage, token) = redirecting("", location).await;
        let answer = stage.send(Ask::new("GET", "/v2/group/project/manifests/latest").token(&token)).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{location}");
    }
    let (stage, token) = redirecting("", "/gitlab/v1/").await;
    let answer = stage.send(Ask::new("GET", "/gitlab/v1").token(&token)).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (307, "/gitlab/v1/"));
}
