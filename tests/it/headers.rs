//! Header fields on their way through: what belongs to one connection stays there, what says who asks is ours to say,
//! and everything else is left alone.

use http::StatusCode;

use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage, uploads};
use crate::support::wire::{Answer, reply};

const MANIFEST: &str = "/v2/group/project/manifests/latest";

async fn at(door: Door) -> (Stage, String) {
    let stage = Stage::with(Setup { door, ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    (stage, token)
}

#[tokio::test]
async fn what_belongs_to_the_clients_connection_stays_there() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token) = at(door).await;
        let ask = Ask::new("GET", MANIFEST)
            .token(&token)
            .header("connection", "keep-alive, X-Private, upgrade, http2-settings")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("proxy-authorization", "Basic Q0FOQVJZ")
            .header("te", "gzip, trailers;q=0.5")
            .header("http2-settings", "AAMAAABkAAQAAP__")
            .header("x-private", "1");
        assert_eq!(stage.send(ask).await.status, StatusCode::OK);
        let seen = stage.registry.last();
        for name in ["keep-alive", "proxy-connection", "proxy-authorization", "te", "http2-settings", "x-private"] {
            assert_eq!(seen.header(name), None, "{door:?}");
        }
        assert!(seen.header("connection").is_none_or(|value| !value.contains("rivate")));
    }
}

#[tokio::test]
async fn a_connection_field_takes_nothing_away_that_we_say() {
    let (stage, token) = at(Door::Plain).await;
    let names = "Authorization, Host, Content-Length, X-Forwarded-For, X-Forwarded-Proto, X-Real-Ip, X-Request-Id";
    let ask = Ask::new("PUT", MANIFEST).token(&token).header("connection", names).body("{}");
    assert_eq!(stage.send(ask).await.status, StatusCode::CREATED);
    let seen = stage.registry.last();
    for name in names.split(", ") {
        assert!(seen.header(name).is_some(), "{name}");
    }
    assert_eq!((seen.header("content-length"), &seen.body[..]), (Some("2"), &b"{}"[..]));
}

#[tokio::test]
async fn what_belongs_to_the_registrys_connection_stays_there() {
    let theirs = [
        ("Connection", "X-Internal, keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic realm=\"x\""),
        ("Upgrade", "h2c"),
        ("X-Internal", "1"),
    ];
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        stage.registry.says("GET", Answer::Reply(reply("200 OK", &theirs, b"{}")));
        let answer = stage.send(Ask::new("GET", MANIFEST).token(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        for name in ["connection", "keep-alive", "proxy-authenticate", "upgrade", "x-internal"] {
            assert!(!answer.headers.contains_key(name), "{door:?} {name}");
        }
    }
}

#[tokio::test]
async fn nobody_says_for_a_client_who_it_is() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let ask = Ask::new("POST", &uploads(REPOSITORY))
            .token(&token)
            .header("forwarded", "for=198.51.100.1;proto=http;host=evil.test")
            .header("x-forwarded-for", "198.51.100.1")
            .header("x-forwarded-host", "evil.test")
            .header("x-forwarded-proto", "gopher")
            .header("x-forwarded-port", "99")
            .header("x-forwarded-prefix", "/evil")
            .header("x-real-ip", "198.51.100.1");
        assert_eq!(stage.send(ask).await.status, StatusCode::ACCEPTED);
        let seen = stage.registry.last();
        for name in ["forwarded", "x-forwarded-port", "x-forwarded-prefix"] {
            assert_eq!(seen.header(name), None, "{door:?}");
        }
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-host"), Some("registry.test"));
        assert_eq!(seen.header("x-forwarded-proto"), Some(if door == Door::Plain { "http" } else { "https" }));
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_up_to_the_first_stranger() {
    let listener = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]".to_owned();
    let stage = Stage::with(Setup { listener, ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    let ask = Ask::new("GET", MANIFEST)
        .token(&token)
        .header("x-forwarded-for", "198.51.100.66, 203.0.113.7, 10.0.0.9")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "registry.test:8443")
        .host("inner");
    assert_eq!(stage.send(ask).await.status, StatusCode::OK);
    let seen = stage.registry.last();
    let chain = seen.header("x-forwarded-for").unwrap();
    assert!(chain.starts_with("203.0.113.7, ") && !chain.contains("198.51.100.66"), "{chain}");
    assert_eq!(seen.header("x-real-ip"), Some("203.0.113.7"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("registry.test:8443"));
    assert_eq!(seen.header("host"), Some("registry.test:8443"));
}

#[tokio::test]
async fn the_registry_is_asked_by_the_name_the_client_asked_for() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        for host in ["registry.test", "registry.test:8443"] {
            stage.send(Ask::new("GET", MANIFEST).token(&token).host(host)).await;
            assert_eq!(stage.registry.last().header("host"), Some(host), "{door:?}");
        }
    }
}

#[tokio::test]
async fn or_by_the_name_that_the_configuration_gives_it() {
    let stage = Stage::with(Setup { registry: "host = \"inner.test:5000\"".to_owned(), ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    stage.send(Ask::new("GET", MANIFEST).token(&token)).await;
    let seen = stage.registry.last();
    assert_eq!(
        (seen.header("host"), seen.header("x-forwarded-host")),
        (Some("inner.test:5000"), Some("registry.test"))
    );
}

#[tokio::test]
async fn a_request_is_known_by_one_id_on_its_whole_way() {
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        let given = stage.send(Ask::new("GET", MANIFEST).token(&token).header("x-request-id", "ci-7.a/b")).await;
        assert_eq!(given.header("x-request-id"), "ci-7.a/b");
        assert_eq!(stage.registry.last().header("x-request-id"), Some("ci-7.a/b"));
        let bad = "spaces in it\"";
        let made = stage.send(Ask::new("GET", MANIFEST).token(&token).header("x-request-id", bad)).await;
        let id = made.header("x-request-id");
        assert_ne!(id, bad);
        assert_eq!(stage.registry.last().header("x-request-id"), Some(id), "{door:?}");
    }
}

#[tokio::test]
async fn everything_else_is_left_alone() {
    let to = [
        ("accept", "application/vnd.oci.image.manifest.v1+json, */*;q=0.1"),
        ("accept", "application/vnd.docker.distribution.manifest.v2+json"),
        ("user-agent", "docker/27.0 (x; \"y\")"),
        ("docker-distribution-api-version", "registry/2.0"),
        ("content-range", "0-4"),
        ("content-type", "application/octet-stream"),
        ("cookie", "a=b"),
        ("x-meta-source-client", "octo/docker"),
        ("if-match", "\"x\""),
    ];
    let back = [
        ("Docker-Content-Digest", "sha256:m"),
        ("Docker-Distribution-Api-Version", "registry/2.0"),
        ("OCI-Subject", "sha256:s"),
        ("Gitlab-Container-Registry-Version", "4.32.0-gitlab"),
        ("Gitlab-Container-Registry-Features", "tag_delete"),
        ("Link", "</v2/group/project/tags/list?last=b&n=2>; rel=\"next\""),
        ("Warning", "299 - \"old\""),
        ("ETag", "\"sha256:m\""),
        ("Cache-Control", "max-age=31536000"),
        ("Vary", "Accept"),
        ("X-Content-Type-Options", "nosniff"),
    ];
    for door in Door::ALL {
        let (stage, token) = at(door).await;
        stage.registry.says("PUT", Answer::Reply(reply("201 Created", &back, b"")));
        let mut ask = Ask::new("PUT", MANIFEST).token(&token).body("layer");
        for (name, value) in to {
            ask = ask.header(name, value);
        }
        let answer = stage.send(ask).await;
        let seen = stage.registry.last();
        for (name, _) in to {
            let sent: Vec<_> =
                to.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.as_bytes()).collect();
            assert_eq!(seen.values(name), sent, "{door:?} {name}");
        }
        for (name, value) in back {
            assert_eq!(answer.header(name), value, "{door:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_asked_when_it_is_let_through_and_not_before() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token) = at(door).await;
        let location = stage.open(&token).await;
        let head = |authorization: &str| {
            format!(
                "PATCH {location} HTTP/1.1\r\nHost: registry.test\r\n{authorization}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
        };
        let mut client = stage.gateway.raw().await;
        client.write(head("")).await.unwrap();
        assert_eq!(client.head().await.status(), 401, "{door:?}");

        let mut client = stage.gateway.raw().await;
        client.write(head(&format!("Authorization: Bearer {token}\r\n"))).await.unwrap();
        assert_eq!(client.head().await.status(), 100, "{door:?}");
        client.write("layer").await.unwrap();
        assert_eq!(client.head().await.status(), 202);
        let seen = stage.registry.last();
        assert_eq!((seen.header("expect"), &seen.body[..]), (None, &b"layer"[..]));
    }
}
