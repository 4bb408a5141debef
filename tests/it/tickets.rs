//! Who is given a ticket that extends, for how long, and where it is understood.

use http::StatusCode;

use crate::support::authority::Account;
use crate::support::client::Ask;
use crate::support::gateway::Setup;
use crate::support::registry::Registry;
use crate::support::stage::{PUSH, REPOSITORY, Stage, ticket, without_ticket};

/// Half an hour.
fn short_session() -> Setup {
    Setup { push: "max_session = \"30m\"".to_owned(), ..Setup::default() }
}

#[tokio::test]
async fn the_hard_end_stays_where_it_was_however_often_a_ticket_is_sealed_anew() {
    let stage = Stage::with(short_session()).await;
    let token = stage.token("ada", PUSH).await;
    let mut location = stage.open(&token).await;
    for _ in 0..30 {
        stage.advance(59);
        location = stage.goes_on(&location, &token).await;
    }
    stage.advance(29);
    location = stage.goes_on(&location, &token).await;
    stage.advance(1);

    stage.stops(&location, &token).await;
}

#[tokio::test]
async fn a_token_that_still_lives_near_the_hard_end_moves_it_no_further() {
    let stage = Stage::with(Setup { push: "max_session = \"5m\"".to_owned(), ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.advance(299);
    let location = stage.goes_on(&location, &token).await;
    stage.advance(60);
    let location = stage.goes_on(&location, &token).await;
    stage.advance(1);

    stage.stops(&location, &token).await;
}

#[tokio::test]
async fn whoever_takes_the_ticket_out_and_comes_back_gets_one_that_extends_nothing() {
    let stage = Stage::with(short_session()).await;
    let location = stage.open(&stage.token("ada", PUSH).await).await;
    stage.advance(1_700);
    let fresh = stage.token("ada", PUSH).await;

    let patched = stage.goes_on(&without_ticket(&location), &fresh).await;
    let asked = stage.send(Ask::new("GET", &without_ticket(&patched)).token(&fresh)).await;
    let asked = asked.header("location").to_owned();
    stage.lapse();

    let (state, _) = asked.split_once("&_tidegate=").unwrap();
    stage.stops(&format!("{state}&_tidegate={}", ticket(&patched)), &fresh).await;
    stage.stops(&asked, &fresh).await;
}

#[tokio::test]
async fn a_status_request_that_may_only_pull_gets_a_ticket_that_extends_nothing() {
    let stage = Stage::new().await;
    let (pushing, pulling) =
        (stage.token("ada", PUSH).await, stage.token("ada", "repository:group/project:pull").await);
    let location = stage.open(&pushing).await;

    let with = stage.send(Ask::new("GET", &location).token(&pulling)).await;
    let with = with.header("location").to_owned();
    let without = stage.send(Ask::new("GET", &without_ticket(&with)).token(&pulling)).await;
    let without = without.header("location").to_owned();
    stage.lapse();

    let state = without_ticket(&without);
    for got in [&with, &without] {
        stage.stops(&format!("{state}&_tidegate={}", ticket(got)), &pushing).await;
    }
    stage.goes_on(&format!("{state}&_tidegate={}", ticket(&location)), &pushing).await;
}

#[tokio::test]
async fn two_deploy_tokens_are_not_one_holder() {
    let stage = Stage::new().await;
    for (login, id) in [("deploy-1", 1), ("deploy-2", 2)] {
        stage.authority.admit(login, Account::deploy_token(id, &[REPOSITORY]));
    }
    let (one, other) = (stage.token("deploy-1", PUSH).await, stage.token("deploy-2", PUSH).await);
    let location = stage.open(&one).await;
    stage.lapse();

    stage.stops(&location, &other).await;
    stage.goes_on(&location, &one).await;
}

#[tokio::test]
async fn two_tokens_that_name_nobody_are_not_one_holder() {
    let stage = Stage::new().await;
    for login in ["robot-1", "robot-2"] {
        stage.authority.admit(login, Account { id: None, ..Account::deploy_token(0, &[REPOSITORY]) });
    }
    let (one, other) = (stage.token("robot-1", PUSH).await, stage.token("robot-2", PUSH).await);
    let location = stage.open(&one).await;
    stage.lapse();

    stage.stops(&location, &other).await;
    stage.goes_on(&location, &one).await;
}

#[tokio::test]
async fn another_holders_living_token_does_not_take_the_upload_over() {
    let stage = Stage::new().await;
    stage.authority.admit("bob", Account::user("bob", 2, &[REPOSITORY]));
    let (ada, bob) = (stage.token("ada", PUSH).await, stage.token("bob", PUSH).await);
    let location = stage.open(&ada).await;
    let location = stage.goes_on(&location, &bob).await;
    stage.lapse();

    stage.stops(&location, &bob).await;
}

#[tokio::test]
async fn a_replica_with_the_same_key_goes_on_with_the_upload() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();

    let replica = stage.replica(&Setup::default()).await;
    let answer = replica.send(Ask::new("PATCH", &location).token(&token).body("layer")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    stage.goes_on(answer.header("location"), &token).await;
}

#[tokio::test]
async fn a_replica_with_another_key_does_not_understand_the_ticket() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();

    let stranger = stage.replica(&Setup { ticket_keys: vec![[8; 32]], ..Setup::default() }).await;
    let answer = stranger.send(Ask::new("PATCH", &location).token(&token).body("layer")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.registry.requests().len(), 1);
}

#[tokio::test]
async fn every_key_of_the_ring_opens_and_the_first_seals() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();

    let rotated = stage.replica(&Setup { ticket_keys: vec![[8; 32], [7; 32]], ..Setup::default() }).await;
    let answer = rotated.send(Ask::new("PATCH", &location).token(&token).body("layer")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let location = answer.header("location").to_owned();
    stage.stops(&location, &token).await;
    let answer = rotated.send(Ask::new("PATCH", &location).token(&token).body("layer")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

#[tokio::test]
async fn the_ticket_leads_back_to_the_origin_that_opened_the_upload() {
    for renew in ["resign", "exchange", "off"] {
        let clock = tidegate::base::clock::Clock::manual(crate::support::stage::START);
        let second = Registry::start(clock).await;
        let origins = vec![second.wire.address];
        let stage = Stage::with(Setup { renew, origins, ..Setup::default() }).await;
        let token = stage.token("ada", PUSH).await;
        for _ in 0..4 {
            let mut location = stage.open(&token).await;
            for _ in 0..3 {
                location = stage.goes_on(&location, &token).await;
            }
        }
        let posts = |registry: &Registry| registry.requests().iter().filter(|one| one.method == "POST").count();
        assert_eq!((posts(&stage.registry), posts(&second)), (2, 2), "both origins open uploads");
    }
}

#[tokio::test]
async fn a_ticket_that_stands_there_twice_is_a_bad_request() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;

    let answer = stage.patch(&format!("{location}&_tidegate={}", ticket(&location)), &token).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(stage.registry.requests().len(), 1);
}

#[tokio::test]
async fn at_its_end_each_client_hears_what_it_recovers_from() {
    let stage = Stage::with(short_session()).await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.advance(1_800);

    let ask = |agent: &str| Ask::new("PATCH", &location).token(&token).header("user-agent", agent).body("layer");
    for agent in ["docker/27.0 go/go1.22", "crane/0.22.1 go-containerregistry/0.22.1"] {
        let answer = stage.send(ask(agent)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{agent}");
        assert_eq!(answer.header("retry-after"), "5");
        assert_eq!(answer.json()["errors"][0]["code"], "UNAVAILABLE");
    }
    for agent in ["containerd/2.1", "buildkit/v0.32"] {
        stage.refuses(ask(agent), PUSH).await;
    }
}
