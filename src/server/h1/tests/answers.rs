//! How an answer leaves: its head, its length, its parts.

use super::*;

#[tokio::test(start_paused = true)]
async fn how_an_answer_tells_its_length() {
    let known = "content-length: 4\r\n\r\nbody";
    let chunks = "transfer-encoding: chunked\r\n\r\na\r\nknown late\r\n0\r\n\r\n";
    for (method, status, is_known, answer) in [
        ("GET", 200, true, format!("HTTP/1.1 200 OK\r\n{known}")),
        ("GET", 200, false, format!("HTTP/1.1 200 OK\r\n{chunks}")),
        ("GET", 299, false, format!("HTTP/1.1 299 \r\n{chunks}")),
        ("HEAD", 200, true, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n".to_owned()),
        ("HEAD", 200, false, "HTTP/1.1 200 OK\r\n\r\n".to_owned()),
        ("GET", 204, true, "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        ("GET", 304, true, "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()),
    ] {
        let mut served = serve(move |_| ready(respond(status, "body", is_known))).await;
        served.say(&GET.replace("GET", method)).await;
        assert_eq!(served.hear_until(&answer).await, answer);
        // It can be told where the next answer begins.
        served.say(&GET.replace("GET", method)).await;
        assert_eq!(served.hear().await, answer);
    }
    // Of nothing there is no telling whether a GET would have had it.
    let mut served = serve(|_| ready(respond(200, "", true))).await;
    served.say(&GET.replace("GET", "HEAD")).await;
    assert_eq!(served.hear().await, "HTTP/1.1 200 OK\r\n\r\n");
    // HTTP/1.0 has no chunks, and a connection that ends unless both sides wish otherwise.
    let asked = "GET / HTTP/1.0\r\n\r\n";
    let kept = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    for (request, is_known, answer) in [
        (asked, true, format!("HTTP/1.0 200 OK\r\n{}", known.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"))),
        (kept, true, format!("HTTP/1.0 200 OK\r\n{}", known.replace("\r\n\r\n", "\r\nconnection: keep-alive\r\n\r\n"))),
        (kept, false, "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nknown late".to_owned()),
    ] {
        let mut served = serve(move |_| ready(respond(200, "body", is_known))).await;
        served.say(&[request, request].concat()).await;
        let times = if request == kept && is_known { 2 } else { 1 };
        assert_eq!(served.hear().await, answer.repeat(times));
    }
}

#[tokio::test(start_paused = true)]
async fn the_length_of_an_answer_that_is_not_sent_is_told_as_it_was() {
    for (method, status) in [("HEAD", 200), ("GET", 304)] {
        let service = move |_| {
            let mut response = respond(status, "", true);
            response.headers_mut().insert("content-length", HeaderValue::from_static("17"));
            ready(response)
        };
        let mut served = serve(service).await;
        served.say(&GET.replace("GET", method)).await;
        let said = served.hear().await;
        assert!(said.ends_with("\r\ncontent-length: 17\r\n\r\n"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_says_of_its_length_and_connection_is_ours() {
    let said = [
        ("content-length", "17"),
        ("transfer-encoding", "gzip"),
        ("connection", "x-hop"),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("x-kept", "1"),
    ];
    let service = move |_| {
        let mut response = respond(200, "body", true);
        response
            .headers_mut()
            .extend(said.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))));
        ready(response)
    };
    let mut served = serve(service).await;
    served.say(GET).await;
    served.client.shutdown().await.unwrap();
    let mut answer = String::new();
    served.client.read_to_string(&mut answer).await.unwrap();
    let date = "date: Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(answer, format!("HTTP/1.1 200 OK\r\n{date}\r\nx-kept: 1\r\ncontent-length: 4\r\n\r\nbody"));
    // Of a protocol that was agreed to it names the connection's fields.
    let service = |mut request: Request<Body>| {
        let upgrade = Upgrade::of(&mut request);
        let mut response = respond(101, "", true);
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        async move {
            tokio::spawn(async move { drop(upgrade.unwrap().switched().await) });
            drop(request);
            response
        }
    };
    let mut served = serve(service).await;
    served.say("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(served.hear_until(answer).await, answer);
}

#[tokio::test(start_paused = true)]
async fn trailers_that_were_promised_go_to_a_client_that_takes_them() {
    for (te, end) in [("TE: trailers\r\n", "0\r\nx-sum: 1\r\n\r\n"), ("", "0\r\n\r\n")] {
        let mut served = serve(|_| {
            let (mut sender, body) = Channel::<Bytes, BodyError>::new(2);
            sender.try_send(Frame::data(Bytes::from("body"))).unwrap();
            let fields = ["x-sum", "x-other"].map(|name| (name.parse().unwrap(), HeaderValue::from_static("1")));
            sender.try_send(Frame::trailers(HeaderMap::from_iter(fields))).unwrap();
            let mut response = Response::new(Body::wrap(body));
            response.headers_mut().insert("trailer", HeaderValue::from_static("X-Sum"));
            ready(response)
        })
        .await;
        served.say(&LAST.replace("Host", &format!("{te}Host"))).await;
        let said = served.hear().await;
        assert!(said.ends_with(&format!("\r\n\r\n4\r\nbody\r\n{end}")), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_an_answer_is_never_its_end() {
    for is_known in [true, false] {
        let mut served = serve(move |_| {
            let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
            sender.try_send(Frame::data(Bytes::from("half"))).unwrap();
            sender.abort("gone".into());
            let mut response = Response::new(Body::wrap(body));
            if is_known {
                response.headers_mut().insert("content-length", HeaderValue::from_static("8"));
            }
            ready(response)
        })
        .await;
        served.say(GET).await;
        served.say(GET).await;
        let ended = (&mut served.connection).await.unwrap();
        assert!(ended.is_err(), "{is_known}");
        let said = served.hear().await;
        assert!(!said.contains("0\r\n\r\n") && said.matches("HTTP/1.1").count() <= 1, "{said}");
    }
    // Longer or shorter than was said.
    for said in ["3", "5"] {
        let mut served = serve(move |_| {
            let mut response = respond(200, "", false);
            response.headers_mut().insert("content-length", HeaderValue::from_static(said));
            ready(response)
        })
        .await;
        served.say(GET).await;
        assert!((&mut served.connection).await.unwrap().is_err(), "{said}");
    }
}
