//! Which door leads where: sites by their names, the registry, the token endpoint, GitLab's own host.

use std::sync::Arc;

use http::StatusCode;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, Stage};
use crate::support::wire::{Answer, Received, Script, Wire, reply};

/// Where the web host switches to what nobody asked for.
const OTHERS: &str = "/-/others";

/// GitLab's web host, as far as it matters here.
struct Web;

impl Script for Web {
    fn at_end(&self, request: &Received) -> Answer {
        if request.header("upgrade").is_some() {
            let protocol = if request.target == OTHERS { "h2c" } else { "websocket" };
            let switching = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Accept: x\r\n\r\n"
            );
            return Answer::Tunnel(switching.into());
        }
        let headers = [("Set-Cookie", "_gitlab_session=CANARY"), ("Location", "https://gitlab.test/users/sign_in")];
        Answer::Reply(reply("302 Found", &headers, b"<html>"))
    }
}

/// A stage with the site `gitlab.test`, which is a web host and no registry.
async fn with_web(door: Door) -> (Stage, Wire) {
    let web = Wire::start(Arc::new(Web)).await;
    let more = format!(
        "[sites.\"gitlab.test\"]\nauthority = \"gitlab\"\nrealm = \"https://gitlab.test/jwt/auth\"\nproxy = {{ url = \"http://{}\" }}\n",
        web.address
    );
    (Stage::with(Setup { door, more, ..Setup::default() }).await, web)
}

/// A stage whose one site is a registry and a web host.
async fn with_both() -> (Stage, Wire) {
    let web = Wire::start(Arc::new(Web)).await;
    let site = format!("proxy = {{ url = \"http://{}\" }}", web.address);
    (Stage::with(Setup { site, ..Setup::default() }).await, web)
}

#[tokio::test]
async fn a_host_that_nobody_serves_is_not_found() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let token = stage.token("ada", PUSH).await;
        for host in ["other.test", "registry.test.evil.test", "127.0.0.1"] {
            for path in ["/v2/", "/", "/jwt/auth?service=container_registry"] {
                let answer = stage.send(Ask::new("GET", path).token(&token).host(host)).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{host}{path}");
            }
        }
        assert_eq!((stage.registry.requests().len(), stage.authority.wire.requests().len()), (0, 1));
    }
}

#[tokio::test]
async fn a_name_with_a_port_wins_and_a_star_takes_the_rest() {
    let web = Wire::start(Arc::new(Web)).await;
    let site = |host: &str| {
        let realm = "realm = \"https://x.test/jwt/auth\"";
        format!("[sites.\"{host}\"]\nauthority = \"gitlab\"\n{realm}\nproxy = \"http://{}\"\n", web.address)
    };
    let more = site("registry.test:8443") + &site("*");
    let stage = Stage::with(Setup { more, ..Setup::default() }).await;
    let rows = [("registry.test", 200), ("REGISTRY.TEST:5000", 200), ("registry.test:8443", 302), ("any.test", 302)];
    for (host, status) in rows {
        assert_eq!(stage.send(Ask::new("GET", "/").host(host)).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_site_with_a_registry_alone_has_nothing_beside_it() {
    let stage = Stage::new().await;
    let token = stage.token("ada", PUSH).await;
    let alive = stage.send(Ask::new("GET", "/")).await;
    assert_eq!((alive.status, &alive.body[..]), (StatusCode::OK, &b"{}"[..]));
    for path in ["/v1/search", "/v2x/", "/metrics", "/healthz", "/debug/pprof/", "/jwt/auth/", "/users/sign_in"] {
        let answer = stage.send(Ask::new("GET", path).token(&token)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(stage.registry.requests().len(), 0);
}

#[tokio::test]
async fn everything_passes_to_the_web_host_as_it_is() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, web) = with_web(door).await;
        let ask = Ask::new("POST", "/group/project.git/git-receive-pack?a=%2f&&b")
            .host("gitlab.test")
            .header("authorization", stage.authority.basic("ada"))
            .header("connection", "authorization, content-length, host, x-forwarded-for")
            .header("private-token", "CANARY")
            .header("cookie", "_gitlab_session=CANARY")
            .header("x-forwarded-for", "198.51.100.1")
            .body("pack");
        let answer = stage.send(ask).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::FOUND, &b"<html>"[..]));
        assert_eq!(answer.header("location"), "https://gitlab.test/users/sign_in");
        assert_eq!(answer.header("set-cookie"), "_gitlab_session=CANARY");
        let seen = web.requests().pop().unwrap();
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("POST", "/group/project.git/git-receive-pack?a=%2f&&b")
        );
        assert_eq!(seen.header("authorization"), Some(&*stage.authority.basic("ada")));
        assert_eq!((seen.header("private-token"), seen.header("host")), (Some("CANARY"), Some("gitlab.test")));
        assert_eq!((seen.header("x-forwarded-for"), &seen.body[..]), (Some("127.0.0.1"), &b"pack"[..]), "{door:?}");
    }
}

#[tokio::test]
async fn the_token_endpoint_of_the_web_host_is_ours() {
    let (stage, web) = with_web(Door::Tls2).await;
    let target = format!("/jwt/auth?service=container_registry&scope={PUSH}");
    let ask = Ask::new("GET", &target).host("gitlab.test").header("authorization", stage.authority.basic("ada"));
    let answer = stage.send(ask).await;
    assert_eq!((answer.status, answer.json()["expires_in"].as_u64()), (StatusCode::OK, Some(270)));
    assert_eq!(web.requests().len(), 0);
}

#[tokio::test]
async fn a_web_socket_goes_through() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, web) = with_web(door).await;
        let mut client = stage.gateway.raw().await;
        let head = "GET /-/cable HTTP/1.1\r\nHost: gitlab.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n";
        client.write(head).await.unwrap();
        let answer = client.head().await;
        assert_eq!(answer.status(), 101, "{}", answer.text);
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("sec-websocket-accept"), Some("x"));
        for part in ["\0\u{1}frame", "another"] {
            client.write(part).await.unwrap();
            assert_eq!(client.take(part.len()).await, part.as_bytes());
        }
        let seen = web.requests().pop().unwrap();
        assert_eq!((seen.header("upgrade"), seen.header("sec-websocket-key")), (Some("websocket"), Some("abc")));
        // And ends when either end does.
        drop(client);
        web.closed(0).await;
    }
}

#[tokio::test]
async fn no_other_version_of_http_is_switched_to_behind_the_door() {
    let (stage, web) = with_web(Door::Plain).await;
    let ask = |target: &str, protocols: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: gitlab.test\r\nConnection: Upgrade\r\nUpgrade: {protocols}\r\n\r\n")
    };
    for protocols in ["h2c", "websocket, h2c"] {
        let mut client = stage.gateway.raw().await;
        client.write(ask("/-/cable", protocols)).await.unwrap();
        assert_eq!(client.head().await.status(), 302, "{protocols}");
        assert_eq!(web.requests().pop().unwrap().header("upgrade"), None, "{protocols}");
    }
    let mut client = stage.gateway.raw().await;
    client.write(ask(OTHERS, "websocket")).await.unwrap();
    assert_eq!(client.head().await.status(), 502);
}

#[tokio::test]
async fn a_registry_is_never_asked_to_switch_protocols() {
    let (stage, web) = with_both().await;
    let token = stage.token("ada", PUSH).await;
    let mut client = stage.gateway.raw().await;
    let head = format!(
        "GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    client.write(head).await.unwrap();
    assert_eq!(client.head().await.status(), 400);
    // Nor is the web host in its place, which knows upgrades.
    assert_eq!((stage.registry.wire.connections().await, web.connections().await), (0, 0));
}

#[tokio::test]
async fn the_dependency_proxy_is_the_web_hosts_and_the_registry_the_registrys() {
    let (stage, web) = with_both().await;
    let path = "/v2/group/dependency_proxy/containers/library/alpine/manifests/latest";
    let answer = stage.send(Ask::new("GET", path).header("authorization", "Bearer CANARY")).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let seen = web.requests().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.header("authorization")), (path, Some("Bearer CANARY")));

    let token = stage.token("ada", PUSH).await;
    for path in ["/v2/", "/v2/group/project/manifests/latest", "/gitlab/v1/"] {
        assert_eq!(stage.send(Ask::new("GET", path).token(&token)).await.status, StatusCode::OK);
        assert_eq!(stage.registry.last().target, path);
    }
    assert_eq!(web.requests().len(), 1);
}

#[tokio::test]
async fn without_a_web_host_the_dependency_proxys_path_is_the_registrys() {
    let stage = Stage::new().await;
    let path = "/v2/group/dependency_proxy/containers/library/alpine/manifests/latest";
    let answer = stage.send(Ask::new("GET", path).header("authorization", "Bearer CANARY")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.registry.requests().len(), 0);
}
