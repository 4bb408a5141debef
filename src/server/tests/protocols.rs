//! What is spoken: TLS, both HTTP versions, PROXY protocol.

use super::*;
use crate::base::peer::Peer;
use crate::base::upgrade::{Switched, Upgrade};
use crate::server::observe::REQUEST_ID;

/// Says what the service is told of the connection.
async fn introduce(request: Request<Body>) -> Response<Body> {
    let peer = request.extensions().get::<Arc<Peer>>().unwrap();
    let (address, secure, name) = (peer.address.ip(), peer.secure, peer.server_name.as_deref().unwrap_or("none"));
    Response::new(Body::full(format!("{:?} {address} secure={secure} name={name}", request.version())))
}

#[tokio::test]
async fn the_http_version_follows_alpn() {
    let running = start(over_tls(), introduce);
    let url = format!("https://localhost:{}/", running.address.port());
    let to = format!("localhost:{}:127.0.0.1", running.address.port());
    for (argument, expected) in [("--http2", "HTTP/2.0"), ("--http1.1", "HTTP/1.1"), ("--no-alpn", "HTTP/1.1")] {
        let (code, text) = curl(&[argument, "--resolve", &to, &url]).await;
        assert_eq!((code, text), (0, format!("{expected} 127.0.0.1 secure=true name=localhost")), "{argument}");
    }
}

#[tokio::test]
async fn both_tls_versions_are_spoken_and_no_older_one() {
    let running = start(over_tls(), introduce);
    let url = format!("https://{}/", running.address);
    for (arguments, expected) in [
        (["--tlsv1.3", "--tls-max", "1.3"], 0),
        (["--tlsv1.2", "--tls-max", "1.2"], 0),
        (["--tlsv1.1", "--tls-max", "1.1"], 35),
    ] {
        let (code, _) = curl(&[&arguments[..], &["--ciphers", "DEFAULT:@SECLEVEL=0", &url]].concat()).await;
        assert_eq!(code, expected, "{arguments:?}");
    }
}

#[tokio::test]
async fn a_plain_listener_speaks_http_1_and_not_http_2() {
    let running = start(settings(), introduce);
    let url = format!("http://{}/", running.address);
    assert_eq!(curl(&[&url]).await.1, "HTTP/1.1 127.0.0.1 secure=false name=none");
    let (code, text) = curl(&["--http2-prior-knowledge", &url]).await;
    assert!(code != 0, "{text}");
    // Nor does it take the offer of RFC 7540's upgrade.
    assert_eq!(curl(&["--http2", &url]).await.1, "HTTP/1.1 127.0.0.1 secure=false name=none");
}

#[tokio::test]
async fn a_listed_peer_names_its_client_by_proxy_protocol() {
    let settings = Settings { proxy_protocol: vec!["127.0.0.0/8".parse().unwrap()], ..settings() };
    let running = start(settings, introduce);
    let request = "PROXY TCP4 192.0.2.7 10.0.0.9 51234 443\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(running.connect().await, request.as_bytes()).await;
    assert!(answer.ends_with("HTTP/1.1 192.0.2.7 secure=false name=none"), "{answer}");
    let bare = exchange(running.connect().await, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(bare, "", "a listed peer was served without a header");
}

#[tokio::test]
async fn proxy_protocol_goes_before_tls() {
    let settings = Settings { proxy_protocol: vec!["127.0.0.0/8".parse().unwrap()], ..over_tls() };
    let running = start(settings, introduce);
    let (code, text) = curl(&["--haproxy-protocol", &format!("https://{}/", running.address)]).await;
    assert_eq!((code, text.as_str()), (0, "HTTP/2.0 127.0.0.1 secure=true name=none"));
}

#[tokio::test]
async fn an_unlisted_peer_cannot_name_its_client() {
    let running = start(settings(), introduce);
    let request = "PROXY TCP4 192.0.2.7 10.0.0.9 51234 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = exchange(running.connect().await, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_its_body_is_never_taken_for_done() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let running = start(settings(), move |request: Request<Body>| {
        let told = told.clone();
        async move {
            told.send(request.into_body().collect().await.is_ok()).unwrap();
            status(StatusCode::CREATED)
        }
    });
    for head in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut stream = running.connect().await;
        stream.write_all(format!("PUT / HTTP/1.1\r\nHost: a\r\n{head}").as_bytes()).await.unwrap();
        drop(stream);
        assert_eq!(tokio::time::timeout(SOON, hears.recv()).await.unwrap(), Some(false), "{head}");
    }
}

#[tokio::test]
async fn a_request_id_is_taken_from_the_peer_or_given_to_it() {
    let running = start(settings(), |request: Request<Body>| async move {
        Response::new(Body::full(request.headers()[REQUEST_ID].as_bytes().to_vec()))
    });
    let url = format!("http://{}/", running.address);
    let show = ["-w", " %header{x-request-id}", &url];
    assert_eq!(curl(&[&["-H", "X-Request-Id: ci-job/17"][..], &show].concat()).await.1, "ci-job/17 ci-job/17");
    for bad in ["X-Request-Id: a b", "X-Request-Id: {}", &format!("X-Request-Id: {}", "a".repeat(129)), "X-Other: 1"] {
        let (_, text) = curl(&[&["-H", bad][..], &show].concat()).await;
        let (seen, given) = text.split_once(' ').unwrap();
        assert_eq!(seen, given);
        assert!(seen.len() == 32 && seen.bytes().all(|byte| byte.is_ascii_hexdigit()), "{bad}: {seen}");
    }
}

#[tokio::test]
async fn an_upgraded_connection_is_handed_over_and_keeps_its_place() {
    let running = start(settings(), |mut request: Request<Body>| async move {
        let upgrade = Upgrade::of(&mut request).unwrap();
        tokio::spawn(async move {
            let Switched { mut io, place: _place } = upgrade.switched().await.unwrap();
            let mut word = [0; 4];
            io.read_exact(&mut word).await.unwrap();
            io.write_all(&word).await.unwrap();
        });
        let mut response = status(StatusCode::SWITCHING_PROTOCOLS);
        response.headers_mut().insert("upgrade", "echo".parse().unwrap());
        response.headers_mut().insert("connection", "upgrade".parse().unwrap());
        response
    });
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 101 "));
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.says("tidegate_connections 1\n").await;
    stream.write_all(b"ping").await.unwrap();
    assert_eq!(read_to_end(stream).await, "ping");
    running.says("tidegate_connections 0\n").await;
}

#[tokio::test]
async fn connections_go_to_the_worker_that_has_the_fewest() {
    let running = start(settings(), |_request: Request<Body>| async {
        Response::new(Body::full(std::thread::current().name().unwrap().to_owned()))
    });
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = running.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut stream).await;
        *seen.entry(answer.rsplit("\r\n").next().unwrap().to_owned()).or_default() += 1;
        open.push(stream);
    }
    assert_eq!(seen.values().copied().collect::<Vec<_>>(), [4, 4], "{seen:?}");
}
