//! What the authority says while a push outlives its token, and what that ends.

use http::StatusCode;

use crate::support::authority::{Account, denied, unauthorized};
use crate::support::client::{Ask, HOST};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage};
use crate::support::wire::{Answer, reply};

const OTHER: &str = "group/other";
const PUSH_OTHER: &str = "repository:group/other:pull,push";

/// A stage on which the token of `ada`'s open upload has lapsed and the authority has just confirmed her.
async fn extended() -> (Stage, String, String) {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();
    let location = stage.goes_on(&location, &token).await;
    (stage, token, location)
}

/// How often the authority was asked.
fn asked(stage: &Stage) -> usize {
    stage.authority.wire.requests().len()
}

#[tokio::test]
async fn the_authority_is_asked_again_at_most_once_in_every_reverify() {
    let (stage, token, mut location) = extended().await;
    assert_eq!(asked(&stage), 2);
    for _ in 0..5 {
        stage.advance(11);
        location = stage.goes_on(&location, &token).await;
    }
    assert_eq!(asked(&stage), 2);
    stage.advance(5);
    stage.goes_on(&location, &token).await;
    assert_eq!(asked(&stage), 3);
    let again = stage.authority.wire.requests().pop().unwrap();
    assert_eq!(
        again.query(),
        Some(&*format!("service=container_registry&scope={PUSH}&client_id=tidegate&account=ada"))
    );
    assert_eq!(again.header("authorization"), Some(&*stage.authority.basic("ada")));
}

#[tokio::test]
async fn a_credential_revoked_in_the_middle_of_a_push_ends_it_within_reverify() {
    for answer in [unauthorized(), denied()] {
        let (stage, token, location) = extended().await;
        stage.authority.says(Answer::Reply(answer));

        stage.advance(59);
        let location = stage.goes_on(&location, &token).await;
        stage.advance(1);
        stage.stops(&location, &token).await;

        // A yes after the no is no reason to go on.
        stage.authority.says(None);
        stage.stops(&location, &token).await;
        stage.advance(61);
        stage.stops(&location, &token).await;
    }
}

#[tokio::test]
async fn a_revoked_credential_ends_all_its_uploads_and_nobody_elses() {
    let stage = Stage::new().await;
    stage.authority.admit("ada", Account::user("ada", 1, &[REPOSITORY, OTHER]));
    stage.authority.admit("bob", Account::user("bob", 2, &[REPOSITORY]));
    let (ada, ada_other, bob) =
        (stage.token("ada", PUSH).await, stage.token("ada", PUSH_OTHER).await, stage.token("bob", PUSH).await);
    let one = stage.open(&ada).await;
    let two = stage.open_in(OTHER, &ada_other).await;
    let bobs = stage.open(&bob).await;
    stage.lapse();

    let account = stage.authority.account("ada");
    stage.authority.revoke("ada");
    stage.stops(&one, &ada).await;
    stage.authority.admit("ada", account);
    stage.refuses(Ask::new("PATCH", &two).token(&ada_other).body("layer"), PUSH_OTHER).await;
    stage.goes_on(&bobs, &bob).await;
}

#[tokio::test]
async fn a_credential_that_is_honoured_again_opens_new_uploads() {
    let (stage, token, location) = extended().await;
    stage.authority.says(Answer::Reply(unauthorized()));
    stage.advance(60);
    stage.stops(&location, &token).await;

    stage.authority.says(None);
    stage.advance(10);
    let fresh = stage.token("ada", PUSH).await;
    let location = stage.open(&fresh).await;
    stage.lapse();
    stage.goes_on(&location, &fresh).await;
}

#[tokio::test]
async fn a_yes_that_no_longer_grants_the_push_ends_it_in_that_repository() {
    for granted in ["pull", "push", ""] {
        let stage = Stage::new().await;
        stage.authority.admit("ada", Account::user("ada", 1, &[REPOSITORY, OTHER]));
        let (token, other) = (stage.token("ada", PUSH).await, stage.token("ada", PUSH_OTHER).await);
        let location = stage.open(&token).await;
        let elsewhere = stage.open_in(OTHER, &other).await;
        stage.lapse();
        let location = stage.goes_on(&location, &token).await;

        stage.authority.change("ada", |ada| *ada = ada.clone().granted(REPOSITORY, granted));
        stage.advance(59);
        let location = stage.goes_on(&location, &token).await;
        stage.advance(1);
        stage.stops(&location, &token).await;
        stage.goes_on(&elsewhere, &other).await;

        // Whoever is let in again starts over.
        stage.authority.change("ada", |ada| *ada = ada.clone().granted(REPOSITORY, "pull,push"));
        stage.stops(&location, &token).await;
    }
}

#[tokio::test]
async fn a_yes_to_somebody_else_ends_the_push() {
    let others = [
        |ada: &mut Account| ada.subject = Some("eve".to_owned()),
        |ada: &mut Account| ada.id = Some(("user_id", 99)),
        |ada: &mut Account| ada.subject = None,
    ];
    for become_another in others {
        let (stage, token, location) = extended().await;
        stage.authority.change("ada", become_another);
        stage.advance(60);
        stage.stops(&location, &token).await;
    }
}

/// What is no answer to whether a credential still holds.
fn no_answers() -> Vec<(&'static str, Answer)> {
    let html = [("Content-Type", "text/html")];
    vec![
        ("an error", Answer::Reply(reply("500 Internal Server Error", &html, b"<h1>500</h1>"))),
        ("a page", Answer::Reply(reply("200 OK", &html, b"<h1>Sign in</h1>"))),
        ("too much", Answer::Reply(reply("429 Too Many Requests", &[], b"Retry later"))),
        ("a ban of the address", Answer::Reply(reply("403 Forbidden", &[], b"Forbidden"))),
        ("a way to a sign-in page", Answer::Reply(reply("302 Found", &[("Location", "/users/sign_in")], b""))),
        ("a token of nobody's", Answer::Reply(reply("200 OK", &[], b"{\"token\":\"x.y.z\"}"))),
        ("half an answer", Answer::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec())),
        ("silence", Answer::Freeze(Vec::new())),
    ]
}

/// A moment of patience with a silent authority.
fn down(word: &str) -> Setup {
    Setup {
        push: format!("on_authority_down = \"{word}\"\nmax_session = \"30m\""),
        timeouts: "authority = \"500ms\"".to_owned(),
        ..Setup::default()
    }
}

#[tokio::test]
async fn an_authority_that_cannot_be_asked_ends_nothing_before_the_hard_end() {
    for (what, answer) in no_answers() {
        let stage = Stage::with(down("continue")).await;
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        stage.authority.says(answer);
        stage.lapse();
        let answer = stage.patch(&location, &token).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{what}: {answer:?}");
        stage.advance(1_439);
        let location = stage.goes_on(answer.header("location"), &token).await;
        stage.advance(1);
        stage.stops(&location, &token).await;
    }
}

#[tokio::test]
async fn an_authority_that_cannot_be_asked_ends_the_push_where_that_is_wanted() {
    for (what, answer) in no_answers() {
        let stage = Stage::with(down("stop")).await;
        let token = stage.token("ada", PUSH).await;
        let location = stage.open(&token).await;
        stage.lapse();
        let location = stage.goes_on(&location, &token).await;
        stage.authority.says(answer);
        stage.advance(59);
        let location = stage.goes_on(&location, &token).await;
        stage.advance(1);
        let answer = stage.patch(&location, &token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
        // Nobody was refused: once it can be asked again, the push goes on.
        stage.authority.says(None);
        stage.advance(60);
        stage.goes_on(&location, &token).await;
    }
}

#[tokio::test]
async fn a_push_whose_credential_is_not_at_hand_goes_on_as_long_as_max_unverified() {
    let setup = Setup { push: "max_unverified = \"10m\"".to_owned(), ..Setup::default() };
    let stage = Stage::with(setup).await;
    let token = stage.authority.token("ada", PUSH);
    let location = stage.open(&token).await;
    stage.lapse();
    let location = stage.goes_on(&location, &token).await;
    stage.advance(239);
    let location = stage.goes_on(&location, &token).await;
    stage.advance(1);

    stage.stops(&location, &token).await;
    assert_eq!(asked(&stage), 0);
}

#[tokio::test]
async fn the_authority_is_asked_again_for_the_address_the_token_was_obtained_from() {
    let setup = Setup { listener: "trusted_proxies = [\"127.0.0.1/32\"]".to_owned(), ..Setup::default() };
    let stage = Stage::with(setup).await;
    let target = format!("/jwt/auth?service=container_registry&scope={PUSH}");
    let ask = Ask::new("GET", &target).header("authorization", stage.authority.basic("ada"));
    let answer = stage.send(ask.header("x-forwarded-for", "203.0.113.7")).await;
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let location = stage.open(&token).await;
    stage.lapse();

    let ask = Ask::new("PATCH", &location).token(&token).host(HOST).body("layer");
    let answer = stage.send(ask.header("x-forwarded-for", "198.51.100.9")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let addresses: Vec<_> =
        stage.authority.wire.requests().iter().map(|one| one.header("x-forwarded-for").unwrap().to_owned()).collect();
    assert_eq!(addresses, ["203.0.113.7", "203.0.113.7"]);
}
