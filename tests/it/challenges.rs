//! A refusal as registries write it: clients compare and parse exactly this.

use http::StatusCode;
use serde_json::json;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, Stage, challenge};
use crate::support::wire::{Answer, reply};

#[tokio::test]
async fn without_a_token_it_says_what_is_needed_and_no_error() {
    let stage = Stage::new().await;
    let answer = stage.send(Ask::new("GET", "/v2/group/project/manifests/latest")).await;

    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("www-authenticate"), challenge("repository:group/project:pull", ""));
    assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    assert!(answer.header("content-type").starts_with("application/json"));
    let detail = json!([{ "Type": "repository", "Class": "", "Name": "group/project", "Action": "pull" }]);
    let error = json!({ "code": "UNAUTHORIZED", "message": "authentication required", "detail": detail });
    assert_eq!(answer.json(), json!({ "errors": [error] }));
    assert_eq!(stage.registry.requests().len(), 0);
}

#[tokio::test]
async fn the_base_is_asked_for_without_a_scope() {
    let stage = Stage::new().await;
    let answer = stage.send(Ask::new("GET", "/v2/")).await;
    assert_eq!(answer.header("www-authenticate"), challenge("", ""));
}

#[tokio::test]
async fn a_credential_that_is_no_bearer_counts_as_none() {
    let stage = Stage::new().await;
    for value in [stage.authority.basic("ada"), "Digest x".to_owned(), "Bearer".to_owned(), "Bearer ".to_owned()] {
        let answer = stage.send(Ask::new("GET", "/v2/").header("authorization", &value)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value}");
        assert_eq!(answer.header("www-authenticate"), challenge("", ""), "{value}");
    }
    assert_eq!(stage.registry.requests().len(), 0);
}

#[tokio::test]
async fn the_realm_is_the_configured_one_whatever_host_was_asked() {
    let stage = Stage::new().await;
    let answer = stage.send(Ask::new("GET", "/v2/").host("registry.test:8443")).await;
    assert_eq!(answer.header("www-authenticate"), challenge("", ""));
}

#[tokio::test]
async fn without_a_configured_realm_it_is_on_the_host_that_was_asked() {
    for door in [Door::Tls1, Door::Tls2] {
        let stage = Stage::with(Setup { door, realm: None, ..Setup::default() }).await;
        for host in ["registry.test", "registry.test:8443", "REGISTRY.test"] {
            let answer = stage.send(Ask::new("GET", "/v2/").host(host)).await;
            let expected = format!("Bearer realm=\"https://{host}/jwt/auth\",service=\"container_registry\"");
            assert_eq!(answer.header("www-authenticate"), expected, "{door:?}");
        }
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_realm_is_on_the_host_that_the_proxy_was_asked() {
    let listener = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
    let stage = Stage::with(Setup { realm: None, listener, ..Setup::default() }).await;
    let ask = Ask::new("GET", "/v2/").host("inner:5000").header("x-forwarded-host", "registry.test:8443");
    let answer = stage.send(ask.header("x-forwarded-proto", "https")).await;
    let expected = "Bearer realm=\"https://registry.test:8443/jwt/auth\",service=\"container_registry\"";
    assert_eq!(answer.header("www-authenticate"), expected);
}

#[tokio::test]
async fn the_registrys_own_refusal_leads_to_our_realm_and_keeps_its_words() {
    let rows =
        [("insufficient_scope", "insufficient_scope"), ("invalid_token", "invalid_token"), ("", "invalid_token")];
    for (theirs, ours) in rows {
        let stage = Stage::new().await;
        let token = stage.token("ada", PUSH).await;
        let theirs = format!("Bearer realm=\"https://evil.test/token\",service=\"x\",error=\"{theirs}\"");
        let headers = [("WWW-Authenticate", theirs.as_str()), ("Content-Type", "application/json")];
        let refusal = reply("401 Unauthorized", &headers, b"{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}");
        stage.registry.says("GET", Answer::Reply(refusal));

        let answer = stage.send(Ask::new("GET", "/v2/group/project/manifests/latest").token(&token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("www-authenticate"), challenge("repository:group/project:pull", ours));
        assert_eq!(&answer.body[..], b"{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}");
    }
}

#[tokio::test]
async fn the_endpoint_of_the_realm_is_where_it_says() {
    let stage = Stage::with(Setup { realm: Some("https://registry.test/auth/token"), ..Setup::default() }).await;
    let ask = |path: &str| {
        let target = format!("{path}?service=container_registry&scope={PUSH}");
        Ask::new("GET", &target).header("authorization", stage.authority.basic("ada"))
    };
    assert_eq!(stage.send(ask("/auth/token")).await.status, StatusCode::OK);
    assert_eq!(stage.send(ask("/jwt/auth")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(stage.authority.wire.requests().len(), 1);
    assert_eq!(stage.authority.wire.requests()[0].path(), "/jwt/auth");
}
