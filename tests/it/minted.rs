//! The token the registry is shown: what the client's own grants, for this request alone, and never more.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, START, Stage, challenge, uploads};
use crate::support::tokens::{Key, claims, claims_of, payload};

/// A token of the authority with this access.
fn token(access: &Value) -> String {
    let mut claims = claims_of("ada", REPOSITORY, &[], START.0);
    claims["access"] = access.clone();
    Key::authority().sign(&claims.to_string())
}

fn repository(name: &str, actions: &[&str]) -> Value {
    json!({ "type": "repository", "name": name, "actions": actions })
}

#[tokio::test]
async fn it_holds_what_is_needed_of_what_was_granted() {
    let all = json!([
        repository(REPOSITORY, &["pull", "push", "delete", "*", "admin"]),
        repository("group/other", &["pull", "push"]),
        { "type": "registry", "name": "catalog", "actions": ["*"] },
    ]);
    let upload = uploads(REPOSITORY);
    let mount = format!("{upload}?mount=sha256:b&from=group/other");
    let rows = [
        ("GET", "/v2/", json!([])),
        ("GET", "/v2/group/project/manifests/latest", json!([repository(REPOSITORY, &["pull"])])),
        ("GET", "/v2/group/project/blobs/sha256:b", json!([repository(REPOSITORY, &["pull"])])),
        ("GET", "/v2/group/project/tags/list", json!([repository(REPOSITORY, &["pull"])])),
        ("PUT", "/v2/group/project/manifests/latest", json!([repository(REPOSITORY, &["pull", "push"])])),
        ("POST", &upload, json!([repository(REPOSITORY, &["pull", "push"])])),
        ("POST", &mount, json!([repository(REPOSITORY, &["pull", "push"]), repository("group/other", &["pull"])])),
        ("DELETE", "/v2/group/project/manifests/latest", json!([repository(REPOSITORY, &["delete"])])),
        ("GET", "/v2/_catalog", json!([{ "type": "registry", "name": "catalog", "actions": ["*"] }])),
    ];
    let stage = Stage::new().await;
    for (method, target, access) in rows {
        let answer = stage.send(Ask::new(method, target).token(&token(&all))).await;
        assert!(answer.status.is_success(), "{method} {target}: {answer:?}");
        let shown = stage.registry.last().bearer().to_owned();
        assert!(Key::signing().signed(&shown));
        assert_eq!(claims(&shown)["access"], access, "{method} {target}");
    }
}

#[tokio::test]
async fn a_star_covers_any_action_and_is_never_handed_on() {
    let stage = Stage::new().await;
    let token = token(&json!([repository(REPOSITORY, &["*"])]));
    stage.open(&token).await;
    let access = claims(stage.registry.last().bearer())["access"].clone();
    assert_eq!(access, json!([repository(REPOSITORY, &["pull", "push"])]));
}

#[tokio::test]
async fn what_was_not_granted_is_answered_as_insufficient_and_never_minted() {
    let other = "repository:group/other:pull,push";
    let rows: [(&str, &str, Value, &str); 9] = [
        ("GET", "/v2/group/project/manifests/l", json!([]), "repository:group/project:pull"),
        (
            "GET",
            "/v2/group/project/manifests/l",
            json!([repository("group/*", &["pull"])]),
            "repository:group/project:pull",
        ),
        ("GET", "/v2/group/project/manifests/l", json!([repository("*", &["*"])]), "repository:group/project:pull"),
        (
            "GET",
            "/v2/group/project/manifests/l",
            json!([repository("group/projec", &["pull"])]),
            "repository:group/project:pull",
        ),
        ("POST", "/v2/group/project/blobs/uploads/", json!([repository(REPOSITORY, &["push"])]), PUSH),
        ("POST", "/v2/group/project/blobs/uploads/", json!([repository(REPOSITORY, &["pull"])]), PUSH),
        ("PUT", "/v2/group/other/manifests/l", json!([repository(REPOSITORY, &["pull", "push"])]), other),
        (
            "DELETE",
            "/v2/group/project/manifests/l",
            json!([repository(REPOSITORY, &["pull", "push"])]),
            "repository:group/project:delete",
        ),
        ("GET", "/v2/_catalog", json!([repository("catalog", &["*"])]), "registry:catalog:*"),
    ];
    let stage = Stage::new().await;
    for (method, target, access, scope) in rows {
        let answer = stage.send(Ask::new(method, target).token(&token(&access))).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {target} with {access}");
        assert_eq!(answer.header("www-authenticate"), challenge(scope, "insufficient_scope"));
    }
    assert_eq!(stage.registry.requests().len(), 0);
}

#[tokio::test]
async fn from_takes_the_right_to_pull_there_whatever_the_method() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    let scope = format!("{PUSH} repository:group/secret:pull");
    let rows = [
        ("POST", format!("{}?mount=sha256:b&from=group/secret", uploads(REPOSITORY))),
        ("POST", format!("{}?from=group/secret", uploads(REPOSITORY))),
        ("POST", format!("{}?from=group%2Fsecret&mount=sha256:b", uploads(REPOSITORY))),
        ("PATCH", format!("{location}&from=group/secret")),
        ("PUT", format!("{location}&digest=sha256:b&from=group/secret")),
    ];
    for (method, target) in rows {
        let answer = stage.send(Ask::new(method, &target).token(&token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {target}");
        assert_eq!(answer.header("www-authenticate"), challenge(&scope, "insufficient_scope"));
    }
    assert_eq!(stage.registry.requests().len(), 1);
}

#[tokio::test]
async fn from_is_no_way_round_for_a_lapsed_token() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let location = stage.open(&token).await;
    stage.lapse();
    let ask = Ask::new("PATCH", &format!("{location}&from=group/secret")).token(&token).body("layer");
    stage.refuses(ask, &format!("{PUSH} repository:group/secret:pull")).await;
}

#[tokio::test]
async fn meta_comes_through_byte_for_byte() {
    // As no JSON library would write it again: blanks, an escape, a float that is a whole number, keys out of order.
    let meta = "{ \"tag_deny_access_patterns\":{\"push\":[\"^v\\\\d+\", \"\\u0072elease\"],\"delete\" :[]}, \
                \"project_path\":\"group/project\",\"project_id\":7.0 , \"a\":1E2,\"tag_immutable_patterns\":[ \"^1\" ]}";
    let stage = Stage::new().await;
    stage.authority.change("ada", |ada| ada.meta = Some(meta.to_owned()));
    let token = stage.token("ada", PUSH).await;
    assert!(payload(&token).contains(meta));

    let location = stage.open(&token).await;
    stage.send(Ask::new("PUT", "/v2/group/project/manifests/latest").token(&token).body("{}")).await;
    stage.lapse();
    stage.goes_on(&location, &token).await;
    for request in stage.registry.requests() {
        let shown = payload(request.bearer());
        assert!(shown.contains(&format!("\"meta\":{meta}")), "{} {shown}", request.method);
    }
}

#[tokio::test]
async fn who_it_is_about_is_copied_and_only_its_times_are_new() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    stage.advance(100);
    stage.open(&token).await;

    let (theirs, ours) = (claims(&token), claims(stage.registry.last().bearer()));
    for claim in ["iss", "aud", "sub", "auth_type", "user"] {
        assert_eq!(theirs[claim], ours[claim], "{claim}");
        assert!(!theirs[claim].is_null(), "{claim}");
    }
    assert!(ours["aud"].is_string());
    let now = START.0 + 100;
    assert_eq!((&ours["iat"], &ours["nbf"], &ours["exp"]), (&json!(now), &json!(now - 5), &json!(now + 600)));
    assert_ne!(theirs["jti"], ours["jti"]);
}

#[tokio::test]
async fn gitlabs_own_interface_gets_the_whole_verified_list() {
    let access = json!([repository(REPOSITORY, &["pull", "push"]), repository("group/*", &["pull"])]);
    let stage = Stage::new().await;
    let ask = Ask::new("GET", "/gitlab/v1/repositories/group/project/").token(&token(&access));
    let answer = stage.send(ask).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(claims(stage.registry.last().bearer())["access"], access);
}

#[tokio::test]
async fn a_cached_one_never_stands_in_for_the_check_of_the_clients_own() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let ask = || Ask::new("GET", "/v2/group/project/manifests/latest").token(&token);
    stage.send(ask()).await;
    stage.send(ask()).await;
    let [one, two] = &stage.registry.requests()[..] else { panic!("two requests") };
    assert_eq!(one.bearer(), two.bearer(), "it was not cached");
    stage.lapse();
    stage.refuses(ask(), "repository:group/project:pull").await;
}

#[tokio::test]
async fn a_body_goes_with_a_token_that_is_at_most_a_minute_old() {
    let stage = Stage::with(Setup::default()).await;
    let token = stage.token("ada", PUSH).await;
    let mut location = stage.open(&token).await;
    for _ in 0..10 {
        stage.advance(31);
        location = stage.goes_on(&location, &token).await;
        let age = stage.clock.now().0 - claims(stage.registry.last().bearer())["iat"].as_i64().unwrap();
        assert!((0..=60).contains(&age), "{age}");
    }
}
