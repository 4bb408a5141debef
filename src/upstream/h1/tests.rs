//! A peer at the other end of a pipe that says and reads what a test wants.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::{Body as HttpBody, Frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use super::head::Outgoing;
use super::{Connection, Fault, Head};
use crate::base::body::{Body, BodyError};

const MOST: usize = 128 * 1024;

fn connection() -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(MOST);
    (Connection::new(ours, MOST), theirs)
}

fn get() -> Outgoing {
    Outgoing::new("registry", Request::new(Body::empty()))
}

fn request(method: Method, body: Body) -> Outgoing {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    Outgoing::new("registry", request)
}

async fn head<T: AsyncRead + AsyncWrite + Unpin>(connection: &mut Connection<T>) -> Result<Head, Fault> {
    poll_fn(|cx| connection.poll_head(cx)).await
}

/// The body to its end, and its trailers.
async fn body<T>(connection: &mut Connection<T>) -> Result<(Vec<u8>, HeaderMap), Fault>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut all, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => all.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    Ok((all, trailers))
}

/// An answer that came as a whole before it was looked at.
async fn answered(request: Outgoing, answer: &str) -> Result<(Head, Vec<u8>, bool), Fault> {
    let (mut ours, mut theirs) = connection();
    theirs.write_all(answer.as_bytes()).await.unwrap();
    ours.start(request);
    let head = head(&mut ours).await?;
    drop(theirs);
    let (body, _) = body(&mut ours).await?;
    Ok((head, body, ours.finish()))
}

/// All of its frames are there.
struct Parts(Vec<Frame<Bytes>>);

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
    }
}

/// What a peer reads, up to `end`.
async fn written(request: Outgoing, end: &str) -> String {
    let (mut ours, mut theirs) = connection();
    ours.start(request);
    let answer = async {
        let mut seen = vec![0; MOST];
        let mut text = String::new();
        while !text.ends_with(end) {
            let read = theirs.read(&mut seen).await.unwrap();
            text.push_str(std::str::from_utf8(&seen[..read]).unwrap());
        }
        theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        text
    };
    let (head, text) = tokio::join!(head(&mut ours), answer);
    assert_eq!(head.unwrap().status, StatusCode::NO_CONTENT);
    assert!(ours.finish());
    text
}

#[tokio::test]
async fn a_request_says_whom_it_is_for_and_how_long_it_is() {
    let bare = "GET / HTTP/1.1\r\nhost: registry\r\n\r\n";
    assert_eq!(written(get(), "\r\n\r\n").await, bare);
    let empty = written(request(Method::PUT, Body::empty()), "\r\n\r\n").await;
    assert_eq!(empty, "PUT / HTTP/1.1\r\nhost: registry\r\ncontent-length: 0\r\n\r\n");
    let mut asked = Request::new(Body::full("{}"));
    *asked.method_mut() = Method::PUT;
    *asked.uri_mut() = "/v2/a/manifests/b?c=d".parse().unwrap();
    for (name, value) in [("host", "front"), ("content-length", "9"), ("transfer-encoding", "chunked"), ("a", "b")] {
        asked.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // The body knows better than the headers.
    let known = "PUT /v2/a/manifests/b?c=d HTTP/1.1\r\nhost: front\r\na: b\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(written(Outgoing::new("registry", asked), "{}").await, known);
}

#[tokio::test]
async fn parts_that_are_there_together_are_one_chunk() {
    let parts = ["one ", "two ", "three"].map(|part| Frame::data(Bytes::from(part)));
    let text = written(request(Method::PATCH, Body::wrap(Parts(parts.into()))), "0\r\n\r\n").await;
    let head = "PATCH / HTTP/1.1\r\nhost: registry\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(text, format!("{head}d\r\none two three\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn trailers_that_were_promised_go_on_and_no_others() {
    let mut trailers = HeaderMap::new();
    for name in ["x-sum", "x-other", "content-length"] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    let frames = vec![Frame::data(Bytes::from_static(b"one")), Frame::trailers(trailers)];
    let mut asked = Request::new(Body::wrap(Parts(frames)));
    asked.headers_mut().insert("trailer", HeaderValue::from_static("X-Sum, content-length"));
    let text = written(Outgoing::new("registry", asked), "x-sum: 1\r\n\r\n").await;
    assert!(text.ends_with("\r\n\r\n3\r\none\r\n0\r\nx-sum: 1\r\n\r\n"), "{text}");
}

/// Says how long it is, and may say otherwise than it does; and, where it is told to, nothing of its end.
struct Off(Option<Bytes>, u64, bool);

impl HttpBody for Off {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.take() {
            None if self.2 => Poll::Pending,
            data => Poll::Ready(data.map(|data| Ok(Frame::data(data)))),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.1)
    }
}

#[tokio::test]
async fn a_body_of_another_length_never_reaches_its_end() {
    for said in [4, 6] {
        let (mut ours, mut theirs) = connection();
        ours.start(request(Method::PATCH, Body::wrap(Off(Some(Bytes::from_static(b"layer")), said, false))));
        let failed = head(&mut ours).await.unwrap_err();
        assert!(matches!(failed, Fault::Length), "{failed}");
        drop(ours);
        let mut seen = String::new();
        theirs.read_to_string(&mut seen).await.unwrap();
        assert!(!seen.contains("layer"), "{seen}");
    }
}

#[tokio::test]
async fn an_answer_is_read_to_its_end_and_no_further() {
    type Row = (&'static str, u16, &'static str, bool);
    let rows: [Row; 12] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nblob", 200, "blob", true),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nblobbeyond", 200, "blob", false),
        ("HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 4\r\n\r\nblob", 200, "blob", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nblob", 200, "blob", false),
        ("HTTP/1.1 200 OK\r\n\r\nblob", 200, "blob", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ("HTTP/1.1 204 No Content\r\n\r\nbeyond", 204, "", false),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", 304, "", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 204 No\r\n\r\n", 204, "", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=\"b\"\r\nbl\r\n02\r\nob\r\n0\r\na: b\r\n\r\n",
            200,
            "blob",
            true,
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n", 101, "", false),
    ];
    for (answer, status, body, again) in rows {
        let (head, seen, reusable) = answered(get(), answer).await.unwrap();
        assert_eq!((head.status.as_u16(), &*seen, reusable), (status, body.as_bytes(), again), "{answer:?}");
    }
    let to_head = answered(request(Method::HEAD, Body::empty()), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
    let (head, seen, reusable) = to_head.unwrap();
    assert_eq!((head.headers["content-length"].as_bytes(), &*seen, reusable), (&b"4"[..], &b""[..], true));
}

#[tokio::test]
async fn what_comes_behind_a_large_answer_is_not_forgotten() {
    for (beyond, again) in [("", true), ("HTTP/1.1 200 OK\r\n\r\n", false)] {
        let (io, mut theirs) = duplex(2 * MOST);
        let mut ours = Connection::new(io, MOST);
        ours.start(get());
        let say = async {
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MOST:x}\r\n");
            let data = [head.as_bytes(), &vec![b'b'; MOST], b"\r\n0\r\n\r\n", beyond.as_bytes()];
            theirs.write_all(&data.concat()).await.unwrap();
        };
        let read = async {
            head(&mut ours).await.unwrap();
            body(&mut ours).await.unwrap().0.len()
        };
        assert_eq!(tokio::join!(read, say).0, MOST);
        assert_eq!(ours.finish(), again, "{beyond:?}");
    }
}

#[tokio::test]
async fn the_last_byte_of_a_body_waits_for_its_end() {
    for (data, said, goes) in [(Some("layer"), 5, false), (None, 0, false), (Some("layer"), 6, true)] {
        let (mut ours, mut theirs) = connection();
        let data = data.map(|data| Bytes::from_static(data.as_bytes()));
        ours.start(request(Method::PATCH, Body::wrap(Off(data, said, true))));
        for _turn in 0..3 {
            assert!(poll_fn(|cx| Poll::Ready(ours.poll_head(cx).is_pending())).await);
        }
        drop(ours);
        let mut seen = String::new();
        theirs.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen.ends_with("layer"), goes, "{said}: {seen}");
        assert_eq!(seen.is_empty(), !goes, "{said}: {seen}");
    }
}

#[tokio::test]
async fn however_an_answer_is_cut_it_is_the_same() {
    let answer = "HTTP/1.1 200 OK\r\nTrailer: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                  3\r\nabc\r\n00000a;x\r\n0123456789\r\n0\r\na: b\r\n\r\n";
    for at in 1..answer.len() {
        let (mut ours, mut theirs) = connection();
        ours.start(get());
        let (first, second) = answer.split_at(at);
        let say = async {
            theirs.write_all(first.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            theirs.write_all(second.as_bytes()).await.unwrap();
        };
        let read = async {
            let head = head(&mut ours).await.unwrap();
            (head, body(&mut ours).await.unwrap())
        };
        let ((head, (data, trailers)), ()) = tokio::join!(read, say);
        assert_eq!((head.status.as_u16(), &*data), (200, &b"abc0123456789"[..]), "cut at {at}");
        assert_eq!(trailers["a"], "b");
        assert!(ours.finish(), "cut at {at}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_none() {
    let long = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(100));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(129));
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(super::MAX_HEAD));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    assert!(answered(get(), &long).await.is_ok(), "it has no length, and ends with the connection");
    let heads = [
        many.as_str(),
        &endless,
        &interim,
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    ];
    for answer in heads {
        let failed = answered(get(), answer).await.unwrap_err();
        assert!(matches!(failed, Fault::Head(_)), "{failed} {answer:?}");
    }
    let lengths = [
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: 0, 0",
        "Content-Length: +0",
        "Content-Length: ",
        "Content-Length: 18446744073709551616",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:",
    ];
    for length in lengths {
        let failed = answered(get(), &format!("HTTP/1.1 204 No\r\n{length}\r\n\r\n")).await.unwrap_err();
        assert!(matches!(failed, Fault::TwoLengths(_)), "{failed} {length:?}");
    }
    let old = answered(get(), "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await.unwrap_err();
    assert!(matches!(old, Fault::TwoLengths(_)), "{old}");
}

#[tokio::test]
async fn chunks_that_are_none_break_the_answer() {
    let long = format!("1;{}\r\nb\r\n0\r\n\r\n", "a".repeat(1024));
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(2048));
    let bodies = [
        "\r\n",
        "x\r\nb\r\n0\r\n\r\n",
        "-1\r\nb",
        "1\nb\r\n0\r\n\r\n",
        "1 \r\nb\r\n0\r\n\r\n",
        "1\r\nbb\r\n0\r\n\r\n",
        "1\r\nb\n0\r\n\r\n",
        "1\r\nb0\r\n\r\n",
        "0000000000000001\r\nb\r\n0\r\n\r\n",
        "1;\0\r\nb\r\n0\r\n\r\n",
        "0\r\na\r\n\r\n",
        "0\r\na : b\r\n\r\n",
        "0\r\n\n",
        "4\r\nblo",
        "4\r\nblob\r\n",
        "4\r\nblob\r\n0\r\n",
        &long,
        &trailers,
    ];
    for chunks in bodies {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let failed = answered(get(), &answer).await.unwrap_err();
        assert!(matches!(failed, Fault::Chunk(_) | Fault::Head(_) | Fault::Short), "{failed} {chunks:?}");
    }
    let short = answered(get(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nblob").await.unwrap_err();
    assert!(matches!(short, Fault::Short), "{short}");
}

#[tokio::test]
async fn a_refusal_is_heard_from_a_peer_that_reads_no_more() {
    let (mut ours, mut theirs) = connection();
    let (mut sender, endless) = http_body_util::channel::Channel::<Bytes, BodyError>::new(1);
    ours.start(request(Method::PATCH, Body::wrap(endless)));
    let begun = poll_fn(|cx| Poll::Ready(ours.poll_head(cx).is_pending())).await;
    assert!(begun, "the request's head is out");
    theirs.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    drop(theirs);
    sender.send_data(Bytes::from_static(b"layer")).await.unwrap();
    assert_eq!(head(&mut ours).await.unwrap().status, StatusCode::UNAUTHORIZED);
    assert_eq!(body(&mut ours).await.unwrap().0, b"{}");
    assert!(!ours.finish(), "the peer never got the whole request");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_leaves_the_request_unsent() {
    let (mut ours, theirs) = connection();
    assert!(ours.is_quiet());
    drop(theirs);
    assert!(!ours.is_quiet());
    ours.start(get());
    let failed = head(&mut ours).await.unwrap_err();
    assert!(matches!(failed, Fault::Closed | Fault::Io(_)), "{failed}");
    let unsent = ours.take_unsent().expect("nothing could be written");
    let (mut ours, mut theirs) = connection();
    ours.start(unsent);
    theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(head(&mut ours).await.unwrap().status, StatusCode::NO_CONTENT);
    assert!(ours.take_unsent().is_none());
}

#[tokio::test]
async fn a_peer_that_speaks_unasked_is_not_listened_to() {
    let (mut ours, mut theirs) = connection();
    theirs.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    assert!(!ours.is_quiet());
}

#[tokio::test]
async fn what_a_peer_says_before_it_is_asked_is_no_answer() {
    let (mut ours, mut theirs) = connection();
    theirs.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    // Nothing is written before the end of such a body is there.
    ours.start(request(Method::PATCH, Body::wrap(Off(Some(Bytes::from_static(b"layer")), 5, true))));
    let failed = head(&mut ours).await.unwrap_err();
    assert!(matches!(failed, Fault::Closed), "{failed}");
    assert!(ours.take_unsent().is_some());
}

#[tokio::test]
async fn an_answer_that_is_there_counts_more_than_a_body_that_broke_off() {
    let (mut ours, mut theirs) = connection();
    let (sender, broken) = http_body_util::channel::Channel::<Bytes, BodyError>::new(1);
    ours.start(request(Method::PATCH, Body::wrap(broken)));
    assert!(poll_fn(|cx| Poll::Ready(ours.poll_head(cx).is_pending())).await, "the request's head is out");
    theirs.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{").await.unwrap();
    assert_eq!(head(&mut ours).await.unwrap().status, StatusCode::UNAUTHORIZED);
    theirs.write_all(b"}").await.unwrap();
    sender.abort("gone".into());
    assert_eq!(body(&mut ours).await.unwrap().0, b"{}");
    assert!(!ours.finish());
}

#[tokio::test]
async fn a_protocol_is_not_switched_in_the_middle_of_a_request() {
    let (mut ours, mut theirs) = connection();
    let (_sender, unfinished) = http_body_util::channel::Channel::<Bytes, BodyError>::new(1);
    ours.start(request(Method::POST, Body::wrap(unfinished)));
    assert!(poll_fn(|cx| Poll::Ready(ours.poll_head(cx).is_pending())).await, "the request's head is out");
    theirs.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
    let failed = head(&mut ours).await.unwrap_err();
    assert!(matches!(failed, Fault::Head(_)), "{failed}");
}

#[tokio::test]
async fn a_connection_that_was_closed_is_not_quiet_for_a_task_whose_turn_is_over() {
    let (mut ours, theirs) = connection();
    drop(theirs);
    let is_quiet = poll_fn(|cx| {
        while let Poll::Ready(operation) = tokio::task::coop::poll_proceed(cx) {
            operation.made_progress();
        }
        Poll::Ready(ours.is_quiet())
    });
    assert!(!is_quiet.await);
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_does_not_end_with_a_reset() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let ours = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut theirs, _) = listener.accept().await.unwrap();
    let mut ours = Connection::new(ours, MOST);
    ours.start(get());
    assert!(poll_fn(|cx| Poll::Ready(ours.poll_head(cx).is_pending())).await, "the request is out");
    // Unread bytes make the end a reset; it and all before it are there before anything is read.
    theirs.write_all(b"HTTP/1.1 200 OK\r\n\r\npartial").await.unwrap();
    theirs.readable().await.unwrap();
    drop(theirs);
    tokio::task::yield_now().await;
    assert_eq!(head(&mut ours).await.unwrap().status, StatusCode::OK);
    let cut = body(&mut ours).await.unwrap_err();
    assert!(matches!(cut, Fault::Io(_)), "{cut}");
}
