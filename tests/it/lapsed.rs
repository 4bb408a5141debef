//! A token past its time: what it may still do, which is one thing, and what it may not.

use http::StatusCode;

use crate::support::authority::Account;
use crate::support::client::Ask;
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage, ticket, uploads, without_ticket};
use crate::support::tokens::{Key, claims};

#[tokio::test]
async fn a_lapsed_token_finishes_the_upload_it_opened() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();

    let location = stage.goes_on(&location, &token).await;
    let answer = stage.send(Ask::new("PUT", &format!("{location}&digest=sha256:b")).token(&token)).await;

    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let seen = stage.registry.requests();
    assert_eq!(seen.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["POST", "PATCH", "PUT"]);
    assert!(seen.iter().all(|request| Key::signing().signed(request.bearer())));
    assert_eq!(claims(seen[1].bearer())["sub"], "ada");
}
