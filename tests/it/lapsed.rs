//! A token past its time: the one thing it may still do, and what it may not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;

use crate::support::authority::Account;
use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage, ticket, uploads, without_ticket};
use crate::support::tokens::{Key, claims};

/// A stage with an upload that `ada` opened, and her token, which has lapsed since.
async fn lapsed() -> (Stage, String, String) {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();
    (stage, token, location)
}

#[tokio::test]
async fn it_finishes_the_upload_it_opened() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        stage.lapse();

        let location = stage.goes_on(&location, &token).await;
        let put = Ask::new("PUT", &format!("{location}&digest=sha256:b")).token(&token).body(" and its end");
        let answer = stage.send(put).await;

        assert_eq!(answer.status, StatusCode::CREATED, "{door:?}: {answer:?}");
        let id = stage.registry.last().path().rsplit('/').next().unwrap().to_owned();
        assert_eq!(stage.registry.uploaded(&id), b"layer and its end");
        let seen = stage.registry.requests();
        assert_eq!(seen.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["POST", "PATCH", "PUT"]);
        assert!(seen.iter().all(|request| Key::signing().signed(request.bearer())));
        assert_eq!(claims(seen[2].bearer())["sub"], "ada");
    }
}

#[tokio::test]
async fn it_asks_how_far_its_own_upload_is() {
    let (stage, token, location) = lapsed().await;
    for method in ["GET", "HEAD"] {
        let answer = stage.send(Ask::new(method, &location).token(&token)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn it_pulls_nothing_and_opens_nothing() {
    let (stage, token, _) = lapsed().await;
    let opens = uploads(REPOSITORY);
    let mounts = format!("{opens}?mount=sha256:b&from={REPOSITORY}");
    let rows = [
        ("GET", "/v2/group/project/blobs/sha256:b", "repository:group/project:pull"),
        ("GET", "/v2/group/project/manifests/latest", "repository:group/project:pull"),
        ("PUT", "/v2/group/project/manifests/latest", PUSH),
        ("DELETE", "/v2/group/project/manifests/latest", "repository:group/project:delete"),
        ("GET", "/v2/group/project/tags/list", "repository:group/project:pull"),
        ("POST", &opens, PUSH),
        ("POST", &mounts, PUSH),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        ("GET", "/v2/", ""),
        ("GET", "/gitlab/v1/", ""),
    ];
    for (method, target, scope) in rows {
        stage.refuses(Ask::new(method, target).token(&token), scope).await;
    }
}

#[tokio::test]
async fn a_ticket_opens_no_other_endpoint_to_it() {
    let (stage, token, location) = lapsed().await;
    let ticket = ticket(&location);
    let rows = [
        ("PUT", "/v2/group/project/manifests/latest", PUSH),
        ("GET", "/v2/group/project/blobs/sha256:b", "repository:group/project:pull"),
        ("POST", "/v2/group/project/blobs/uploads/", PUSH),
    ];
    for (method, path, scope) in rows {
        stage.refuses(Ask::new(method, &format!("{path}?_tidegate={ticket}")).token(&token), scope).await;
    }
}

#[tokio::test]
async fn it_cancels_nothing() {
    let stage = Stage::new().await;
    stage.authority.change("ada", |ada| *ada = ada.clone().granted(REPOSITORY, "pull,push,delete"));
    let token = stage.token("ada", "repository:group/project:pull,push,delete").await;
    let location = stage.open(&token).await;
    stage.lapse();

    stage.refuses(Ask::new("DELETE", &location).token(&token), "repository:group/project:delete").await;
}

#[tokio::test]
async fn it_goes_on_with_no_upload_without_a_ticket() {
    let (stage, token, location) = lapsed().await;
    stage.stops(&without_ticket(&location), &token).await;
}

#[tokio::test]
async fn its_ticket_is_of_no_use_to_another_upload_of_the_same_holder() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let (one, other) = (stage.open(&token).await, stage.open(&token).await);
    stage.lapse();

    stage.stops(&format!("{}&_tidegate={}", without_ticket(&other), ticket(&one)), &token).await;
    stage.goes_on(&other, &token).await;
}

#[tokio::test]
async fn its_ticket_is_of_no_use_in_another_repository() {
    let stage = Stage::new().await;
    stage.authority.change("ada", |ada| *ada = ada.clone().granted("group/other", "pull,push"));
    let token = stage.token("ada", &format!("{PUSH}&scope=repository:group/other:pull,push")).await;
    let location = stage.open(&token).await;
    stage.lapse();

    let elsewhere = location.replace("/v2/group/project/", "/v2/group/other/");
    let asked = Ask::new("PATCH", &elsewhere).token(&token).body("layer");
    stage.refuses(asked, "repository:group/other:pull,push").await;
    stage.goes_on(&location, &token).await;
}

#[tokio::test]
async fn it_goes_on_with_no_upload_of_another_subject() {
    let stage = Stage::new().await;
    stage.authority.admit("bob", Account::user("bob", 2, &[REPOSITORY]));
    let (ada, bob) = (stage.token("ada", PUSH).await, stage.token("bob", PUSH).await);
    let location = stage.open(&ada).await;
    stage.lapse();

    stage.stops(&location, &bob).await;
    stage.goes_on(&location, &ada).await;
}

#[tokio::test]
async fn it_must_itself_grant_the_push() {
    let stage = Stage::new().await;
    let (pushing, pulling) =
        (stage.token("ada", PUSH).await, stage.token("ada", "repository:group/project:pull").await);
    let location = stage.open(&pushing).await;
    stage.lapse();

    stage.stops(&location, &pulling).await;
    stage.refuses(Ask::new("GET", &location).token(&pulling), "repository:group/project:pull").await;
    stage.goes_on(&location, &pushing).await;
}

#[tokio::test]
async fn it_must_have_been_living_when_the_upload_was_opened() {
    let stage = Stage::new().await;
    let old = stage.token("ada", PUSH).await;
    stage.lapse();
    let fresh = stage.token("ada", PUSH).await;
    let location = stage.open(&fresh).await;

    stage.stops(&location, &old).await;
    stage.lapse();
    stage.goes_on(&location, &fresh).await;
}

#[tokio::test]
async fn any_bit_of_the_ticket_that_is_turned_ends_it() {
    let (stage, token, location) = lapsed().await;
    let (bare, sealed) = (without_ticket(&location), URL_SAFE_NO_PAD.decode(ticket(&location)).unwrap());
    let mut connection = stage.gateway.connect().await;
    for at in 0..sealed.len() {
        let mut forged = sealed.clone();
        forged[at] ^= 1 << (at % 8);
        let target = format!("{bare}&_tidegate={}", URL_SAFE_NO_PAD.encode(forged));
        let answer = connection.send(Ask::new("PATCH", &target).token(&token).body("layer")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "byte {at}");
    }
    assert_eq!(stage.registry.requests().len(), 1);
    stage.goes_on(&location, &token).await;
}

#[tokio::test]
async fn with_renewal_off_it_does_nothing_at_all() {
    let stage = Stage::with(Setup { renew: "off", ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    let location = stage.goes_on(&location, &token).await;
    stage.lapse();

    stage.stops(&location, &token).await;
}
