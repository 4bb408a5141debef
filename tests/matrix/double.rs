//! The double of GitLab's token endpoint, held against what GitLab answers before anything is built on it. A matrix that
//! passed because its authority was more lenient than the real one would say nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::authority::{Authority, Kind, Life, Login, Mood, Voice};
use crate::support::keys::Keys;

const ASK: &str = "/jwt/auth?service=container_registry&scope=repository:matrix/one:pull,push";

/// Asks it what GitLab's own tests ask GitLab.
pub(crate) async fn check(keys: &Keys) -> Result<()> {
    let voice = Voice {
        issuer: "gitlab-issuer".to_owned(),
        service: "container_registry".to_owned(),
        kid: keys.authority_kid.clone(),
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let double = Authority::start(listen, voice, &keys.authority_key, Life::Plain(300)).await?;
    double.admit(Login::user(7, "alice", "right", "matrix"));
    let mut robot = Login::user(9, "robot", "right", "matrix");
    robot.kind = Kind::DeployToken { id: 9 };
    double.admit(robot);
    let alice = Some("alice:right");

    let table: [(&str, &str, Option<&str>, u16); 7] = [
        ("GET", ASK, alice, 200),
        ("GET", "/jwt/auth?service=container_registry", alice, 200),
        ("GET", ASK, None, 403),
        ("GET", ASK, Some("alice:wrong"), 401),
        ("GET", "/jwt/auth?service=another", alice, 404),
        ("GET", "/jwt/other?service=container_registry", alice, 404),
        ("POST", ASK, alice, 404),
    ];
    for (method, path, login, expected) in table {
        let (status, _) = ask(double.address(), method, path, login).await?;
        ensure!(status == expected, "{method} {path} as {login:?}: {status}, not {expected}");
    }
    claims_are_gitlabs(&double).await?;
    cues_are_obeyed(&double).await?;
    requests_are_recorded(&double)
}

async fn claims_are_gitlabs(double: &Authority) -> Result<()> {
    let two = format!("{ASK}&scope=repository:other/two:pull+repository:matrix/three:pull,fly");
    let (_, body) = ask(double.address(), "GET", &two, Some("alice:right")).await?;
    ensure!(body.as_object().is_some_and(|body| body.len() == 1), "GitLab answers a token and nothing else");
    let claims = claims(&body)?;
    let names: Vec<&str> = claims
        .pointer("/access")
        .and_then(Value::as_array)
        .map(|access| access.iter().filter_map(|entry| entry.pointer("/name")?.as_str()).collect())
        .unwrap_or_default();
    ensure!(names == ["matrix/one", "matrix/three"], "granted {names:?}");
    ensure!(
        claims.pointer("/access/1/actions") == Some(&serde_json::json!(["pull"])),
        "granted an action that is none"
    );
    ensure!(claims.pointer("/access/0/meta/project_path").is_some(), "a grant without its policy");
    ensure!(claims.pointer("/sub") == Some(&Value::from("alice")), "a user without a subject");
    let (_, body) = ask(double.address(), "GET", ASK, Some("robot:right")).await?;
    ensure!(self::claims(&body)?.pointer("/sub").is_none(), "a deploy token with a subject");

    double.set_life(Life::DiesAsTold(10));
    let (_, body) = ask(double.address(), "GET", ASK, Some("alice:right")).await?;
    ensure!(body.pointer("/expires_in") == Some(&Value::from(60)), "clients were not told when the token dies");
    let issued = double.issued();
    let last = issued.last().context("no token was recorded")?;
    ensure!(self::claims(&body)?.pointer("/exp") == Some(&Value::from(last.exp)), "another token was recorded");
    ensure!(last.login == "alice", "the token was recorded for {}", last.login);
    Ok(())
}

async fn cues_are_obeyed(double: &Authority) -> Result<()> {
    double.set_mood(Mood::Stubborn { status: 503, content_type: "text/html".to_owned(), body: "<html>".to_owned() });
    ensure!(ask(double.address(), "GET", ASK, Some("alice:right")).await?.0 == 503, "it answered by its own will");
    double.set_mood(Mood::Slow(Duration::from_millis(1)));
    ensure!(ask(double.address(), "GET", ASK, Some("alice:right")).await?.0 == 200, "slow is not unwilling");
    double.set_mood(Mood::Fair);
    double.revoke("alice");
    ensure!(ask(double.address(), "GET", ASK, Some("alice:right")).await?.0 == 401, "it knew a revoked credential");
    Ok(())
}

fn requests_are_recorded(double: &Authority) -> Result<()> {
    let received = double.received();
    let first = received.first().context("no request was recorded")?;
    let sent = format!("Basic {}", STANDARD.encode("alice:right"));
    ensure!(
        first.header("authorization") == [sent.as_bytes()],
        "the credential was recorded otherwise than it was sent"
    );
    ensure!(format!("{}?{}", first.path, first.query) == ASK, "the query was recorded otherwise than it was sent");
    ensure!(first.method == "GET" && first.status == 200 && first.peer.ip().is_loopback(), "recorded {first:?}");
    Ok(())
}

fn claims(body: &Value) -> Result<Value> {
    let token = body.pointer("/token").and_then(Value::as_str).context("no token")?;
    let part = token.split('.').nth(1).context("no claims")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

async fn ask(address: SocketAddr, method: &str, path: &str, login: Option<&str>) -> Result<(u16, Value)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
    if let Some(login) = login {
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(login)));
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}
