//! `renew = "exchange"`: the authority itself gives the token that takes the place of a lapsed one.

use http::StatusCode;

use crate::support::authority::Account;
use crate::support::client::Ask;
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, START, Stage};
use crate::support::tokens::{Key, claims};
use crate::support::wire::{Answer, reply};

async fn stage() -> Stage {
    Stage::with(Setup { renew: "exchange", ..Setup::default() }).await
}

#[tokio::test]
async fn the_registry_is_shown_the_clients_own_token_while_it_is_fresh() {
    let stage = stage().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.advance(179);
    stage.goes_on(&location, &token).await;

    assert!(stage.registry.requests().iter().all(|request| request.bearer() == token));
    assert_eq!(stage.authority.wire.requests().len(), 1);
}

#[tokio::test]
async fn a_lapsed_token_is_exchanged_for_one_of_the_same_holder() {
    let stage = stage().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();
    stage.goes_on(&location, &token).await;

    let shown = stage.registry.last().bearer().to_owned();
    assert!(Key::authority().signed(&shown));
    let claims = claims(&shown);
    assert_eq!((claims["sub"].as_str(), claims["iat"].as_i64()), (Some("ada"), Some(START.0 + 360)));
    assert_eq!(claims["access"][0]["actions"], serde_json::json!(["pull", "push"]));
}

#[tokio::test]
async fn a_token_with_little_left_is_exchanged_on_an_upload_and_nowhere_else() {
    let stage = stage().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.advance(181);
    stage.send(Ask::new("GET", "/v2/group/project/manifests/latest").token(&token)).await;
    stage.goes_on(&location, &token).await;

    let shown: Vec<_> = stage.registry.requests().iter().map(|request| request.bearer() == token).collect();
    assert_eq!(shown, [true, true, false]);
}

#[tokio::test]
async fn a_living_token_is_good_enough_when_there_is_none_to_be_had() {
    let stage = stage().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.authority.says(Answer::Reply(reply("500 Internal Server Error", &[], b"")));
    stage.advance(300);
    stage.goes_on(&location, &token).await;

    assert_eq!(stage.registry.last().bearer(), token);
}

#[tokio::test]
async fn without_the_credential_there_is_nothing_to_exchange_with() {
    let stage = stage().await;
    let token = stage.authority.token("ada", PUSH);
    let location = stage.open(&token).await;
    stage.lapse();
    stage.stops(&location, &token).await;
}

#[tokio::test]
async fn a_token_that_is_less_or_somebody_elses_is_not_used() {
    let changes = [
        |ada: &mut Account| *ada = ada.clone().granted(REPOSITORY, "pull"),
        |ada: &mut Account| *ada = ada.clone().granted(REPOSITORY, "push"),
        |ada: &mut Account| ada.subject = Some("eve".to_owned()),
        |ada: &mut Account| ada.id = Some(("user_id", 99)),
    ];
    for change in changes {
        let stage = stage().await;
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        stage.lapse();
        stage.authority.change("ada", change);
        stage.stops(&location, &token).await;
    }
}

#[tokio::test]
async fn it_asks_for_no_more_than_the_request_needs_and_the_old_token_granted() {
    let stage = stage().await;
    stage.authority.change("ada", |ada| *ada = ada.clone().granted(REPOSITORY, "pull,push,delete"));
    let token = stage.token("ada", "repository:group/project:pull,push,delete").await;
    let location = stage.open(&token).await;
    stage.lapse();
    let answer = stage.send(Ask::new("GET", &location).token(&token)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);

    let asked = stage.authority.wire.requests().pop().unwrap();
    assert!(asked.query().unwrap().contains("&scope=repository:group/project:pull&"), "{:?}", asked.query());
    let access = claims(stage.registry.last().bearer())["access"].clone();
    assert_eq!(access[0]["actions"], serde_json::json!(["pull"]));
}
