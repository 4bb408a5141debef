//! Its HTTP side: plain HTTP/1.1, one handler.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Issued, Login, Mood, Received, Shared, issue, scope};

pub(super) async fn start(listen: SocketAddr, shared: Arc<Shared>) -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        // A peer that is gone before it was accepted is no concern of the others.
        loop {
            let Ok((stream, peer)) = listener.accept().await else { continue };
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(handle(&shared, peer, request).await) }
                });
                let _hung_up =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok((address, serving))
}

async fn handle(shared: &Shared, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mood = shared.state().mood.clone();
    let (status, content_type, body) = match mood {
        Mood::Fair => answer(shared, &request),
        Mood::Stubborn { status, content_type, body } => (status, content_type, body),
        Mood::Slow(delay) => {
            // The slowness is what is being shown, not a way to wait for something.
            sleep(delay).await;
            answer(shared, &request)
        }
    };
    shared.state().received.push(Received {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        peer,
        status,
    });
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> (u16, String, String) {
    let json_type = "application/json; charset=utf-8".to_owned();
    // GitLab routes POST to a bare 404, which OAuth2 clients take as «ask with GET».
    if request.method() != Method::GET || request.uri().path() != "/jwt/auth" {
        return (404, "text/plain".to_owned(), String::new());
    }
    let query = request.uri().query().unwrap_or_default();
    if scope::values(query, "service") != [shared.voice.service.clone()] {
        return (404, "text/plain".to_owned(), String::new());
    }
    let Some((name, password)) = basic(request) else {
        let denied = json!({ "errors": [{ "code": "DENIED", "message": "access forbidden" }], "http_status": 403 });
        return (403, json_type, denied.to_string());
    };
    let (life, login) = {
        let state = shared.state();
        let life = state.lives.get(&name).copied().unwrap_or(state.life);
        (life, state.logins.get(&name).filter(|login| login.password == password).cloned())
    };
    let Some(login) = login else {
        let denied = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "HTTP Basic: Access denied." }] });
        return (401, json_type, denied.to_string());
    };
    match issue_for(shared, life, &login, query) {
        Ok(body) => (200, json_type, body),
        Err(error) => (500, "text/plain".to_owned(), error.to_string()),
    }
}

fn issue_for(shared: &Shared, life: super::Life, login: &Login, query: &str) -> Result<String> {
    let access = scope::grant(query, login);
    let issue::Answer { token, exp, body } = issue::issue(shared, life, login, &shared.voice.service, &access)?;
    shared.state().issued.push(Issued { token, login: login.name.clone(), exp });
    Ok(body.to_string())
}

fn basic(request: &Request<Incoming>) -> Option<(String, String)> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
