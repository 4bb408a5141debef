use http::header::{COOKIE, SET_COOKIE};
use serde_json::json;

use super::*;
use crate::authority::testing::{Fields, TokenServer, answer, granted, refused, settings};
use crate::base::body::BodyError;
use crate::telemetry::log::tests::capture;
use crate::token::testing::{NOW, TestKey, claims};

fn question(query: &str, authorization: Option<&[u8]>) -> Question {
    Question {
        query: Some(query.to_owned()),
        authorization: authorization.map(|value| HeaderValue::from_bytes(value).unwrap()),
        asker: Asker {
            address: "203.0.113.9".parse().unwrap(),
            scheme: "https",
            host: Some(HeaderValue::from_static("registry.example.com")),
        },
        request_id: Some(HeaderValue::from_static("req-1")),
        user_agent: Some(HeaderValue::from_static("docker/29.0")),
    }
}

fn client(settings: Settings) -> Gitlab {
    Gitlab::new(settings, Arc::new(Metrics::new())).unwrap()
}

async fn ask(server: &TokenServer) -> Answer {
    client(server.settings()).ask(&question("service=container_registry", Some(b"Basic eDp5"))).await
}

/// Why `server` counts as one that cannot be asked.
async fn unreachable(server: &TokenServer) -> Unreachable {
    match ask(server).await {
        Answer::Unreachable { why, .. } => why,
        other => panic!("not unreachable: {other:?}"),
    }
}

#[tokio::test]
async fn the_query_and_the_authorization_arrive_byte_for_byte() {
    let server = TokenServer::granting(claims()).await;
    let queries = [
        "account=ada&scope=repository%3Ag%2Fp%3Apull%2Cpush&service=container_registry",
        "service=container_registry&scope=repository:g/p:pull,push&scope=repository:g/q:pull",
        "scope=repository:g/p:push,pull+repository:g/q:pull&&x=%zz;a=b&service=",
        "",
    ];
    let credentials: [&[u8]; 4] =
        [b"Basic Z2l0bGFiLWNpLXRva2VuOnRvaw==", b"basic  eDp5", b"Bearer  a.b.c", b"Basic \xe4\xf6\xfc"];
    let client = client(server.settings());
    for query in queries {
        for credential in credentials {
            client.ask(&question(query, Some(credential))).await;
        }
    }
    let received = server.received();
    assert_eq!(received.len(), queries.len() * credentials.len());
    for (number, request) in received.iter().enumerate() {
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.target, format!("/jwt/auth?{}", queries[number / credentials.len()]));
        assert_eq!(request.headers[AUTHORIZATION].as_bytes(), credentials[number % credentials.len()]);
        assert_eq!(request.headers.get_all(AUTHORIZATION).iter().count(), 1);
    }
}

#[tokio::test]
async fn a_question_without_query_and_authorization_arrives_without_them() {
    let server = TokenServer::granting(claims()).await;
    let bare = Question { query: None, ..question("", None) };
    client(server.settings()).ask(&bare).await;
    assert_eq!(server.received()[0].target, "/jwt/auth");
    assert_eq!(server.received()[0].header("authorization"), None);
}

#[tokio::test]
async fn the_authority_hears_who_the_client_is() {
    let server = TokenServer::granting(claims()).await;
    ask(&server).await;
    let request = &server.received()[0];
    let expected = [
        ("x-forwarded-for", Some("203.0.113.9")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("registry.example.com")),
        ("x-request-id", Some("req-1")),
        ("user-agent", Some("docker/29.0")),
        ("accept-encoding", None),
        (COOKIE.as_str(), None),
    ];
    for (name, value) in expected {
        assert_eq!(request.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_token_is_granted() {
    let server = TokenServer::granting(claims()).await;
    let Answer::Granted(granted_token) = ask(&server).await else { panic!("not granted") };
    assert_eq!(granted_token.body.expose(), granted(&claims()).as_bytes());
}

#[tokio::test]
async fn a_refusal_passes_with_its_status_and_body_and_without_cookies() {
    for (status, code) in [(401, "UNAUTHORIZED"), (403, "DENIED"), (404, "UNAVAILABLE"), (400, "X")] {
        let server = TokenServer::start(move |_| async move {
            let mut refusal = refused(status, code, "HTTP Basic: Access denied");
            refusal.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("_gitlab_session=secret"));
            refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("7"));
            refusal
        })
        .await;
        let refusal = match (status, ask(&server).await) {
            (401 | 403, Answer::Denied(refusal)) | (404 | 400, Answer::Passed(refusal)) => refusal,
            (_, other) => panic!("{status}: {other:?}"),
        };
        assert_eq!(refusal.status.as_u16(), status);
        assert_eq!(refusal.codes(), [code]);
        assert_eq!(refusal.headers[CONTENT_TYPE], "application/json; charset=utf-8");
        assert_eq!(refusal.headers[RETRY_AFTER], "7");
        assert!(!refusal.headers.contains_key(SET_COOKIE));
        assert_eq!(server.asked(), 1);
    }
}

#[tokio::test]
async fn gitlabs_empty_404_stays_empty() {
    let server = TokenServer::saying(404, &[], "").await;
    let Answer::Passed(refusal) = ask(&server).await else { panic!("not passed") };
    assert!(refusal.body.is_empty());
}

#[tokio::test]
async fn a_denial_at_great_length_is_still_a_denial() {
    let server = TokenServer::saying(403, &[], vec![b'x'; MAX_ANSWER + 1]).await;
    let Answer::Denied(refusal) = ask(&server).await else { panic!("not denied") };
    assert_eq!((refusal.status, refusal.codes()), (StatusCode::FORBIDDEN, vec!["DENIED".to_owned()]));
}

#[tokio::test]
async fn throttling_keeps_its_time() {
    let server = TokenServer::saying(429, &[("retry-after", "17")], "Retry later").await;
    let Answer::Throttled { retry_after } = ask(&server).await else { panic!("not throttled") };
    assert_eq!(retry_after.unwrap(), "17");
}

#[tokio::test]
async fn an_answer_that_means_nothing_is_no_denial() {
    let huge = format!(r#"{{"token":"{}"}}"#, "x".repeat(5 << 20));
    let table: [(u16, Fields, Vec<u8>, Unreachable); 9] = [
        (200, &[("content-type", "text/html")], b"<html>Sign in</html>".to_vec(), Unreachable::NotJson),
        (200, &[], b"{}".to_vec(), Unreachable::NoToken),
        (200, &[], huge.into_bytes(), Unreachable::TooLarge),
        (200, &[("content-encoding", "gzip")], granted(&claims()).into_bytes(), Unreachable::Encoded),
        (204, &[], Vec::new(), Unreachable::Status(StatusCode::NO_CONTENT)),
        (500, &[], b"{}".to_vec(), Unreachable::Status(StatusCode::INTERNAL_SERVER_ERROR)),
        (502, &[], b"<html>Bad Gateway</html>".to_vec(), Unreachable::Status(StatusCode::BAD_GATEWAY)),
        (304, &[], Vec::new(), Unreachable::Redirected),
        (302, &[("location", "/users/sign_in")], Vec::new(), Unreachable::Redirected),
    ];
    for (status, headers, body, expected) in table {
        let server = TokenServer::saying(status, headers, body).await;
        assert_eq!(unreachable(&server).await, expected, "{status} {headers:?}");
        assert_eq!(server.asked(), 1, "{status} {headers:?} was asked again");
    }
}

#[tokio::test]
async fn a_redirect_takes_no_credential_anywhere() {
    let canary = TokenServer::granting(claims()).await;
    let elsewhere = canary.settings().url.to_string();
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = elsewhere.clone();
        let server = TokenServer::start(move |_| {
            let mut redirect = answer(status, &[], "");
            redirect.headers_mut().insert("location", elsewhere.parse().unwrap());
            async move { redirect }
        })
        .await;
        assert_eq!(unreachable(&server).await, Unreachable::Redirected);
    }
    assert_eq!(canary.asked(), 0);
}

#[tokio::test]
async fn a_5xx_says_when_to_come_again() {
    let server = TokenServer::saying(503, &[("retry-after", "120")], "").await;
    let Answer::Unreachable { retry_after, .. } = ask(&server).await else { panic!("reachable") };
    assert_eq!(retry_after.unwrap(), "120");
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gitlab = client(settings(&format!("http://{free}/jwt/auth")));
    let answer = gitlab.ask(&question("", None)).await;
    assert!(matches!(answer, Answer::Unreachable { why: Unreachable::Connect, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_connection_that_fails_is_tried_a_second_time_and_no_third() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/jwt/auth", listener.local_addr().unwrap());
    let attempts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = tokio::spawn({
        let attempts = Arc::clone(&attempts);
        async move {
            loop {
                // Accepted and closed: TLS fails, and nothing of the request was sent.
                drop(listener.accept().await.unwrap());
                attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
    });
    let root = crate::token::testing::TestKey::p256().authority("nobody").der().clone();
    let gitlab = client(Settings { roots: Some(vec![root]), ..settings(&url) });
    let answer = gitlab.ask(&question("", Some(b"Basic eDp5"))).await;
    assert!(matches!(answer, Answer::Unreachable { why: Unreachable::Connect, .. }), "{answer:?}");
    assert_eq!(attempts.load(std::sync::atomic::Ordering::SeqCst), 2);
    counting.abort();
}

#[tokio::test]
async fn a_slow_authority_is_left_at_the_deadline_in_the_head_and_in_the_body() {
    let silent = TokenServer::start(|_| std::future::pending()).await;
    let trickling = TokenServer::start(|_| async {
        let mut response = Response::new(Body::wrap(Trickle(tokio::time::interval(Duration::from_millis(20)))));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    })
    .await;
    for server in [silent, trickling] {
        let gitlab = client(Settings { timeout: Duration::from_millis(200), ..server.settings() });
        let answer = gitlab.ask(&question("", None)).await;
        assert!(matches!(answer, Answer::Unreachable { why: Unreachable::Timeout, .. }), "{answer:?}");
        assert!(gitlab.metrics.encode().contains(r#"tidegate_limit_hits_total{limit="authority"} 1"#));
    }
}

/// White space for ever: JSON that never ends.
struct Trickle(tokio::time::Interval);

impl http_body::Body for Trickle {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        self.0.poll_tick(cx).map(|_| Some(Ok(http_body::Frame::data(Bytes::from_static(b" ")))))
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer_and_is_not_asked_for_again() {
    for status in [200, 401] {
        let server = TokenServer::start(move |_| async move {
            let mut response = answer(status, &[("content-length", "1000")], "");
            *response.body_mut() = Body::wrap(Broken(true));
            response
        })
        .await;
        assert_eq!(unreachable(&server).await, Unreachable::Broken, "{status}");
        assert_eq!(server.asked(), 1);
    }
}

/// One piece, then an error.
struct Broken(bool);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let first = std::mem::take(&mut self.0);
        let piece = if first { Ok(http_body::Frame::data(Bytes::from_static(b"{\"to"))) } else { Err("broken".into()) };
        std::task::Poll::Ready(Some(piece))
    }
}

#[tokio::test]
async fn a_query_longer_than_a_uri_is_refused_here() {
    let server = TokenServer::granting(claims()).await;
    let gitlab = client(server.settings());
    let Answer::Passed(refusal) = gitlab.ask(&question(&"x".repeat(70_000), None)).await else { panic!("passed on") };
    assert_eq!(refusal.status, StatusCode::URI_TOO_LONG);
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn more_requests_than_the_bound_wait_their_turn() {
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(std::sync::Mutex::new((0usize, 0usize)));
    let server = TokenServer::start({
        let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
        move |_| {
            let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
            async move {
                {
                    let mut running = running.lock().unwrap();
                    running.0 += 1;
                    running.1 = running.1.max(running.0);
                }
                gate.acquire().await.unwrap().forget();
                running.lock().unwrap().0 -= 1;
                answer(200, &[], json!({"token": "t"}).to_string())
            }
        }
    })
    .await;
    let gitlab = Arc::new(client(server.settings()));
    let asking: Vec<_> = (0..MAX_REQUESTS + 20)
        .map(|_| {
            let gitlab = Arc::clone(&gitlab);
            tokio::spawn(async move { gitlab.ask(&question("", None)).await })
        })
        .collect();
    while running.lock().unwrap().0 < MAX_REQUESTS {
        tokio::task::yield_now().await;
    }
    gate.add_permits(MAX_REQUESTS + 20);
    for task in asking {
        assert!(matches!(task.await.unwrap(), Answer::Opaque { .. }));
    }
    assert_eq!(running.lock().unwrap().1, MAX_REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_cannot_be_asked_is_warned_of_once_a_minute() {
    let server = TokenServer::saying(502, &[], "").await;
    let client = client(server.settings());
    let (log, _guard) = capture();
    for expected in [1, 1, 2] {
        client.ask(&question("service=container_registry", None)).await;
        assert_eq!(log.text().matches("the authority cannot be asked").count(), expected);
        tokio::time::advance(Duration::from_secs(31)).await;
    }
}

#[tokio::test]
async fn a_token_nobody_can_verify_is_warned_of_seldom_and_for_our_service_only() {
    let token = TestKey::foreign().sign(&claims());
    let server = TokenServer::saying(200, &[], json!({ "token": token }).to_string()).await;
    let client = client(server.settings());
    let (log, _guard) = capture();
    let warned = || log.text().matches("cannot be verified").count();
    client.ask(&question("service=dependency_proxy", None)).await;
    assert_eq!(warned(), 0);
    for _ in 0..2 {
        client.ask(&question("service=container_registry", None)).await;
        assert_eq!(warned(), 1);
    }
}

/// An authority whose clock is `seconds` ahead of the one it is asked by, and who asks.
async fn apart(seconds: i64) -> (TokenServer, Gitlab) {
    let written = std::time::UNIX_EPOCH + Duration::from_secs((NOW.0 + seconds).unsigned_abs());
    let server = TokenServer::start(move |_| {
        let mut answer = answer(200, &[], granted(&claims()));
        answer.headers_mut().insert("date", httpdate::fmt_http_date(written).try_into().unwrap());
        async move { answer }
    })
    .await;
    let gitlab = Gitlab { clock: Clock::manual(NOW), ..client(server.settings()) };
    (server, gitlab)
}

#[tokio::test]
async fn clocks_that_are_apart_are_told_of_with_the_direction_and_what_to_do() {
    // By how much its clock is ahead; between what the metric lies, and how the log puts it.
    let table = [
        (600, 600..=600, Some("ahead of")),
        (6, 6..=6, Some("ahead of")),
        (5, 5..=5, None),
        (0, 0..=0, None),
        (-1, 0..=0, None),
        // It may have been written when it was asked for, ten seconds ago at most.
        (-3601, -3600..=-3590, Some("behind")),
    ];
    for (seconds, expected, side) in table {
        let (_server, gitlab) = apart(seconds).await;
        let (log, _guard) = capture();
        let answer = gitlab.ask(&question("service=container_registry", None)).await;
        assert!(matches!(answer, Answer::Granted(_)), "{seconds}: it changed the answer: {answer:?}");

        let series = "tidegate_authority_clock_offset_seconds{authority=\"gitlab\"} ";
        let numbers = gitlab.metrics.encode();
        let value: i64 = numbers.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap();
        assert!(expected.contains(&value), "{seconds}: {value}");

        let told = side.map(|side| {
            let what = format!("the authority's clock is {side} this machine's: check NTP on both");
            (
                json!("WARN"),
                json!("gitlab"),
                json!(value.abs()),
                format!("{what}, one that is off makes good tokens bad"),
            )
        });
        let lines = log.lines().into_iter().map(|line| {
            let message = line["message"].as_str().unwrap().to_owned();
            (line["level"].clone(), line["authority"].clone(), line["seconds"].clone(), message)
        });
        assert_eq!(lines.collect::<Vec<_>>(), Vec::from_iter(told), "{seconds}");
    }
}

#[tokio::test]
async fn a_difference_of_clocks_is_told_whatever_the_answer_and_seldom() {
    for status in [200, 401, 404, 429, 503] {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let server = TokenServer::start(move |_| async move { answer(status, &[("date", date)], "") }).await;
        let client = client(server.settings());
        let (log, _guard) = capture();
        for _ in 0..3 {
            client.ask(&question("service=container_registry", None)).await;
            assert_eq!(log.text().matches("the authority's clock is behind this machine's").count(), 1, "{status}");
        }
    }
}

#[tokio::test]
async fn of_a_date_that_cannot_be_read_nothing_is_concluded() {
    for date in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37", "-1", "Fri, 31 Dec 99999 23:59:59 GMT"] {
        let server = TokenServer::start(move |_| async move { answer(401, &[("date", date)], "") }).await;
        let client = client(server.settings());
        let (log, _guard) = capture();
        assert!(matches!(client.ask(&question("", None)).await, Answer::Denied(_)));
        assert_eq!(log.text(), "", "{date:?}");
        assert!(!client.metrics.encode().contains("tidegate_authority_clock_offset_seconds{"), "{date:?}");
    }
}
