use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request};
use serde_json::Value;

use super::{Authority, USER};
use crate::base::body::Body;
use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::cli::demo::keys;
use crate::cli::demo::scratch::Scratch;
use crate::cli::demo::serving::{Ear, send};
use crate::oci::credentials::Credentials;
use crate::token::claims::Claims;
use crate::token::compact::Compact;

const LIFE: Duration = Duration::from_secs(10);
const QUERY: &str = "service=container_registry&scope=repository:demo/a:pull,push,delete&scope=repository:other/a:pull";

async fn open() -> Authority {
    let scratch = Scratch::new().unwrap();
    let minter = keys::make(scratch.path(), LIFE).unwrap();
    Authority::open(Ear::open().await.unwrap(), minter, Secret::new(b"right".to_vec()))
}

async fn ask(authority: &Authority, method: Method, path: &str, login: Option<HeaderValue>) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "here").body(Body::empty()).unwrap();
    if let Some(login) = login {
        request.headers_mut().insert(AUTHORIZATION, login);
    }
    let response = send(authority.address, request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect_bounded(1 << 16).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_token_is_taken_for_its_life_and_grants_what_was_asked_for_below_the_namespace() {
    let authority = open().await;
    let login = Credentials::basic(USER, "right").unwrap();
    let before = Clock::System.now();
    let (status, body) = ask(&authority, Method::GET, &format!("/jwt/auth?{QUERY}"), Some(login)).await;
    let after = Clock::System.now();
    assert_eq!(status, 200);

    let token = body["token"].as_str().unwrap();
    let claims = Claims::parse(Compact::parse(token.as_bytes()).unwrap().payload()).unwrap();
    // The registries' leeway on `exp`.
    let dies = claims.expires.plus(Duration::from_secs(60));
    assert!(before.plus(LIFE) <= dies && dies <= after.plus(LIFE), "{dies:?}");
    let access: Vec<_> = claims.access.iter().map(|entry| (entry.name.as_str(), entry.actions.len())).collect();
    assert_eq!(access, [("demo/a", 2)]);

    // Told so, a client expects it to end at the same moment: a minute after it was issued.
    assert_eq!(body["expires_in"], 60);
    assert_eq!(body["issued_at"], claims.expires.to_string());
    assert_eq!(authority.issued()[0].scope, "repository:demo/a:pull,push");
}

#[tokio::test]
async fn nobody_else_gets_one() {
    let authority = open().await;
    let right = Credentials::basic(USER, "right");
    let path = format!("/jwt/auth?{QUERY}");
    for (method, path, login, status) in [
        (Method::GET, path.as_str(), None, 403),
        (Method::GET, &path, Credentials::basic(USER, "wrong"), 401),
        (Method::GET, &path, Credentials::basic("joe", "right"), 401),
        (Method::GET, "/jwt/auth?service=another", right.clone(), 404),
        (Method::GET, "/elsewhere?service=container_registry", right.clone(), 404),
        (Method::POST, &path, right, 404),
    ] {
        assert_eq!(ask(&authority, method, path, login).await.0, status);
    }
    assert!(authority.issued().is_empty());
}
