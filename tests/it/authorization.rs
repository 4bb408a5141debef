//! On its way to the authority, what a client says of itself stays what it said, to the byte.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::StatusCode;

use crate::support::CANARY;
use crate::support::authority::basic;
use crate::support::client::{Ask, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, Stage};

/// Every kind of credential that GitLab knows, as clients send it; and how else one may be written.
fn credentials() -> Vec<(&'static str, Vec<u8>)> {
    let secret = |text: &str| format!("{CANARY}{text}");
    let pair = format!("jane:{}", secret("pw"));
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("user and password", basic("jane", &secret("pw")).into()),
        ("a password beyond ASCII", basic("jane", &secret("pÄssw\u{f6}rd\u{1f511}")).into()),
        ("a password in Latin-1", format!("Basic {}", STANDARD.encode(b"jane:CANARYp\xe4ss")).into()),
        ("a password with colons", basic("jane", &secret("a:b::c:")).into()),
        ("an e-mail as login", basic("jane@example.com", &secret("pw")).into()),
        ("a personal access token under any login", basic("whoever", "glpat-CANARY").into()),
        ("a personal access token without a login", basic("", "glpat-CANARY").into()),
        ("a project's access token", basic("project_7_bot_ab12", "glpat-CANARY").into()),
        ("a job token", basic("gitlab-ci-token", "glcbt-64_CANARY").into()),
        ("a deploy token", basic("gitlab+deploy-token-12", "gldt-CANARY").into()),
        ("an OAuth token", basic("oauth2", "CANARY0a1b2c").into()),
        ("an identity token", basic("<token>", "CANARY").into()),
        ("an empty password", basic("jane", "").into()),
        ("lower case", format!("basic {}", STANDARD.encode(&pair)).into()),
        ("upper case", format!("BASIC {}", STANDARD.encode(&pair)).into()),
        ("two blanks", format!("Basic  {}", STANDARD.encode(&pair)).into()),
        ("a tab", format!("Basic\t{}", STANDARD.encode(&pair)).into()),
        ("no padding", format!("Basic {}", STANDARD_NO_PAD.encode(format!("{pair}!"))).into()),
        ("too much padding", format!("Basic {}====", STANDARD_NO_PAD.encode(&pair)).into()),
        ("a blank inside", format!("Basic {} {}", STANDARD.encode("jane:"), STANDARD.encode(&pair)).into()),
        ("no base64 at all", b"Basic jane:CANARY".to_vec()),
        ("bytes beyond ASCII", b"Basic \xff\xfeCANARY\x80".to_vec()),
        ("a bearer", b"Bearer CANARY.x.y".to_vec()),
        ("another scheme", b"Negotiate CANARYabc=".to_vec()),
        ("a scheme alone", b"Basic".to_vec()),
        ("with parameters", b"Digest username=\"jane\", response=\"CANARY\"".to_vec()),
    ];
    rows
}

#[tokio::test]
async fn every_credential_arrives_as_it_was_sent_through_every_door() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let mut connection = stage.gateway.connect().await;
        for (what, value) in credentials() {
            let target = format!("/jwt/auth?service=container_registry&scope={PUSH}");
            connection.send(Ask::new("GET", &target).header("authorization", &value)).await;
            let arrived = stage.authority.wire.requests().pop().unwrap();
            assert_eq!(arrived.values("authorization"), [&value[..]], "{door:?}: {what}");
            assert_eq!(arrived.method, "GET");
        }
        assert_eq!(stage.authority.wire.requests().len(), credentials().len());
    }
}

#[tokio::test]
async fn it_arrives_from_a_client_that_spells_its_headers_otherwise() {
    for door in [Door::Plain, Door::Tls1] {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        for (name, value) in [("authorization", "Basic amFuZTpDQU5BUlk="), ("AUTHORIZATION", "bAsIc amFuZTpDQU5BUlk=")]
        {
            let mut client = stage.gateway.raw().await;
            let head = format!(
                "GET /jwt/auth?service=container_registry HTTP/1.1\r\nhost:registry.test\r\n{name}:{value}\r\n\r\n"
            );
            client.write(head).await.unwrap();
            assert_eq!(client.head().await.status(), 401);
            let arrived = stage.authority.wire.requests().pop().unwrap();
            assert_eq!(arrived.values("authorization"), [value.as_bytes()], "{door:?}");
        }
    }
}

#[tokio::test]
async fn nobody_is_given_a_credential_that_was_not_sent() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let answer = stage.send(Ask::new("GET", "/jwt/auth?service=container_registry")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let arrived = stage.authority.wire.requests().pop().unwrap();
        assert_eq!(arrived.values("authorization").len(), 0, "{door:?}");
    }
}

#[tokio::test]
async fn the_query_arrives_as_it_was_sent() {
    let queries = [
        "service=container_registry&scope=repository:group/project:pull,push",
        "service=container_registry&scope=repository%3Agroup%2Fproject%3Apull%2Cpush&scope=repository:a/b:pull",
        "scope=repository:a/b:pull+repository:c/d:push&service=container_registry&account=ada",
        "scope=repository:a/b:pull%20repository:c/d:push&service=container_registry&client_id=docker",
        "service=container_registry&&scope=&offline_token=true&",
        "account=J%C3%A4ne%40x&service=container_registry&unknown=a=b=c",
        "service=container_registry&scope=nonsense",
        "%73ervice=container_registry;x",
        "",
    ];
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        for query in queries {
            let ask = Ask::new("GET", &format!("/jwt/auth?{query}"));
            stage.send(ask.header("authorization", stage.authority.basic("ada"))).await;
            let arrived = stage.authority.wire.requests().pop().unwrap();
            assert_eq!(arrived.query().unwrap_or_default(), query, "{door:?}");
        }
    }
}

#[tokio::test]
async fn the_authority_hears_who_the_client_is_and_not_who_it_says_it_is() {
    for door in Door::ALL {
        let stage = Stage::with(Setup { door, ..Setup::default() }).await;
        let ask = Ask::new("GET", "/jwt/auth?service=container_registry")
            .header("x-forwarded-for", "198.51.100.1")
            .header("x-real-ip", "198.51.100.1")
            .header("forwarded", "for=198.51.100.1;host=evil.test")
            .header("x-forwarded-host", "evil.test");
        stage.send(ask).await;
        let arrived = stage.authority.wire.requests().pop().unwrap();
        assert_eq!(arrived.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(arrived.header("x-forwarded-host"), Some("registry.test"));
        assert_eq!(arrived.header("x-forwarded-proto"), Some(if door == Door::Plain { "http" } else { "https" }));
        assert_eq!((arrived.header("forwarded"), arrived.header("x-real-ip")), (None, None));
    }
}

#[tokio::test]
async fn the_registry_never_sees_it() {
    let stage = Stage::new().await;
    stage.send(Ask::new("GET", "/v2/").header("authorization", stage.authority.basic("ada"))).await;
    assert_eq!(stage.registry.requests().len(), 0);
}
