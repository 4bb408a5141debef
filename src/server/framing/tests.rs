use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::server::h1::tests::heard;

const HOST: &str = "Host: r\r\n";

/// The lengths of the bodies that were complete, and why it stopped, if it did.
fn read(parts: &[&[u8]]) -> (Vec<u64>, Option<Error>) {
    let mut framing = Framing::new();
    let (mut bodies, mut body) = (Vec::new(), 0);
    for part in parts {
        let mut rest = part.iter();
        loop {
            match framing.step(&mut rest) {
                Ok(None) => break,
                Ok(Some(Event::Head(_))) => body = 0,
                Ok(Some(Event::Data(bytes))) => body += bytes,
                Ok(Some(Event::Trailers)) => {}
                Ok(Some(Event::End)) => bodies.push(body),
                Err(error) => return (bodies, Some(error)),
            }
        }
    }
    (bodies, None)
}

fn accepts(text: &str, bodies: &[u64]) {
    assert_eq!(read(&[text.as_bytes()]), (bodies.to_vec(), None), "{text:?}");
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(read(&bytes), (bodies.to_vec(), None), "byte by byte: {text:?}");
}

fn refuses(text: &str, error: Error) {
    assert_eq!(read(&[text.as_bytes()]).1, Some(error), "{text:?}");
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(read(&bytes).1, Some(error), "byte by byte: {text:?}");
}

#[test]
fn messages_end_where_their_framing_says() {
    accepts(&format!("GET /v2/ HTTP/1.1\r\n{HOST}\r\n"), &[0]);
    accepts(
        &format!("GET /v2/ HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\nGET /v2/ HTTP/1.1\r\n{HOST}\r\n"),
        &[0, 0],
    );
    accepts(&format!("PUT /x HTTP/1.1\r\n{HOST}content-LENGTH:\t5 \r\n\r\nhelloGET / HTTP/1.1\r\n\r\n"), &[5, 0]);
    accepts(
        &format!(
            "PATCH /x HTTP/1.1\r\n{HOST}Transfer-Encoding: Chunked\t\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        ),
        &[15, 0],
    );
    accepts(
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a;b=c;d=\"e\\\"\t;\"\r\nx\r\n0;z\r\nX-Sum: 1\r\nB:\r\n\r\n",
        &[1],
    );
    accepts("OPTIONS * HTTP/1.1\r\nHost: r\r\n\r\n", &[0]);
    accepts(
        "GET http://r/v2/?a=\\{|} HTTP/1.1\r\nHost: r\r\nX:  \x7fno\r\n\r\n".replace("\x7fno", "\u{e9}").as_str(),
        &[0],
    );
    accepts("CONNECT r:443 HTTP/1.1\r\nHost: r\r\n\r\n", &[0]);
}

#[test]
fn an_incomplete_message_is_neither_refused_nor_ended() {
    for text in ["", "GE", "GET / HTTP/1.1\r\nA: b\r\n\r", "PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"] {
        accepts(text, &[]);
    }
}

/// How many of these bytes pass, and why no more.
fn feed(framing: &mut Framing, bytes: &[u8]) -> (usize, Option<Error>) {
    let mut rest = bytes.iter();
    loop {
        match framing.step(&mut rest) {
            Ok(None) => return (bytes.len(), None),
            Ok(Some(_)) => {}
            // The refused byte has been taken.
            Err(error) => return (bytes.len() - rest.len() - 1, Some(error)),
        }
    }
}

#[test]
fn nothing_before_the_refused_byte_is_taken_back_and_nothing_after_it_is_read() {
    let mut framing = Framing::new();
    let text = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\nA: b\r\n\r\n";
    assert_eq!(feed(&mut framing, text), (32, Some(Error::Head(Fault::LineEnding))));
    assert_eq!(feed(&mut framing, b"GET / HTTP/1.1\r\n\r\n"), (0, Some(Error::Head(Fault::LineEnding))));
}

#[test]
fn what_follows_a_request_for_another_protocol_waits_for_the_answer() {
    let mut framing = Framing::new();
    let ask = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(feed(&mut framing, ask), (ask.len(), None));
    assert!(framing.is_undecided());
    assert_eq!(feed(&mut framing.clone(), b"GET"), (0, Some(Error::Head(Fault::Upgrade))));
    framing.stay();
    let next = b"GET / HTTP/1.1\r\n\r\n";
    assert_eq!((framing.is_undecided(), feed(&mut framing, next)), (false, (next.len(), None)));
}

#[test]
fn each_fault_is_told_by_its_name() {
    use Error::{Body, Head};
    let head = |fields: &str| format!("PUT /x HTTP/1.1\r\n{HOST}{fields}\r\n\r\n");
    let rows = [
        ("\r\n\r\n".to_owned(), Head(Fault::BlankLine)),
        ("\n".to_owned(), Head(Fault::LineEnding)),
        (" GET / HTTP/1.1\r\n".to_owned(), Head(Fault::Method)),
        ("GET  / HTTP/1.1\r\n".to_owned(), Head(Fault::Target)),
        ("GET /#a HTTP/1.1\r\n".to_owned(), Head(Fault::Target)),
        ("GET /a\\b HTTP/1.1\r\n".to_owned(), Head(Fault::Target)),
        ("GET v2 HTTP/1.1\r\n".to_owned(), Head(Fault::Target)),
        ("GET * HTTP/1.1\r\n".to_owned(), Head(Fault::Target)),
        ("CONNECT / HTTP/1.1\r\n".to_owned(), Head(Fault::Target)),
        ("GET /\r\n".to_owned(), Head(Fault::Version)),
        ("GET / HTTP/2.0\r\n".to_owned(), Head(Fault::Version)),
        ("GET / HTTP/1.1 \r\n".to_owned(), Head(Fault::Version)),
        ("GET / HTTP/1.1\n".to_owned(), Head(Fault::LineEnding)),
        ("GET / HTTP/1.1\r\n A: b\r\n".to_owned(), Head(Fault::FieldName)),
        (head("A : b"), Head(Fault::FieldName)),
        (head(": b"), Head(Fault::FieldName)),
        (head("A: b\r\n c"), Head(Fault::Fold)),
        (head("A: b\nB: c"), Head(Fault::LineEnding)),
        (head("A: b\rB: c"), Head(Fault::LineEnding)),
        (head("A: b\0c"), Head(Fault::FieldValue)),
        (head("Content-Length: +5"), Head(Fault::ContentLength)),
        (head("Content-Length:"), Head(Fault::ContentLength)),
        (head("Content-Length: 5 5"), Head(Fault::ContentLength)),
        (head("Content-Length: 99999999999999999999"), Head(Fault::ContentLength)),
        (head("Content-Length: 5, 5"), Head(Fault::ContentLengths)),
        (head("Content-Length: 5\r\nContent-Length: 5"), Head(Fault::ContentLengths)),
        (head("Transfer-Encoding: gzip, chunked"), Head(Fault::TransferEncoding)),
        (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Head(Fault::TransferEncoding)),
        (head("Transfer-Encoding: chunked\r\nContent-Length: 5"), Head(Fault::TwoLengths)),
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked"), Head(Fault::TwoLengths)),
        (head("Transfer-Encoding: chunked").replace("1.1", "1.0"), Head(Fault::OldTransferEncoding)),
        (head("Transfer-Encoding: chunked") + "\r\n", Body(Fault::ChunkSize)),
        (head("Transfer-Encoding: chunked") + "0x5\r\n", Body(Fault::ChunkSize)),
        (head("Transfer-Encoding: chunked") + "5 \r\n", Body(Fault::ChunkSize)),
        (head("Transfer-Encoding: chunked") + "1000000000000000\r\n", Body(Fault::ChunkSize)),
        (head("Transfer-Encoding: chunked") + "5;\r\n", Body(Fault::ChunkExtension)),
        (head("Transfer-Encoding: chunked") + "5;a=\"\0", Body(Fault::ChunkExtension)),
        (head("Transfer-Encoding: chunked") + &format!("5;{}", "a".repeat(257)), Body(Fault::ChunkExtension)),
        (head("Transfer-Encoding: chunked") + "5;a\n", Body(Fault::LineEnding)),
        (head("Transfer-Encoding: chunked") + "5\n", Body(Fault::LineEnding)),
        (head("Transfer-Encoding: chunked") + "1\r\nab", Body(Fault::ChunkEnd)),
        (head("Transfer-Encoding: chunked") + "1\r\na\n", Body(Fault::ChunkEnd)),
        (head("Transfer-Encoding: chunked") + "0\r\nContent-Length: 5", Body(Fault::Trailer)),
        (head("Transfer-Encoding: chunked") + "0\r\nA: b\n", Body(Fault::LineEnding)),
    ];
    for (text, error) in rows {
        refuses(&text, error);
    }
}

/// What hyper makes of the same bytes: the lengths of the bodies it read to their end.
fn hyper(bytes: &[u8]) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let service = hyper::service::service_fn({
            let bodies = Arc::clone(&bodies);
            move |request: http::Request<Incoming>| {
                let bodies = Arc::clone(&bodies);
                async move {
                    if let Ok(body) = request.into_body().collect().await {
                        bodies.lock().unwrap().push(body.to_bytes().len() as u64);
                    }
                    Ok::<_, Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
                }
            }
        });
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let serving =
            hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        // It answers what cannot be parsed, and says so.
        let _said = serving.await;
        client.read_to_end(&mut Vec::new()).await.unwrap();
        std::mem::take(&mut *bodies.lock().unwrap())
    })
}

/// A request that nothing is wrong with, and the length of its body.
fn valid() -> impl Strategy<Value = (Vec<u8>, u64)> {
    let method = prop_oneof![Just("GET"), Just("PUT"), Just("PATCH"), Just("POST")];
    let fields = prop::collection::vec(("[a-z][a-z-]{0,12}", "[ -~]{0,20}"), 0..3);
    let body = prop_oneof![
        Just(None),
        "[a-z\r\n]{0,40}".prop_map(|body| Some((body, None))),
        ("[a-z\r\n0]{1,40}", 1..20_usize).prop_map(|(body, size)| Some((body, Some(size)))),
    ];
    (method, "/[a-z0-9/._-]{0,30}", fields, body).prop_map(|(method, path, fields, body)| {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: r\r\n");
        for (name, value) in fields {
            text.push_str(&format!("x-{name}: {value}\r\n"));
        }
        let mut length = 0;
        match body {
            None => text.push_str("\r\n"),
            Some((body, None)) => {
                length = body.len();
                text.push_str(&format!("Content-Length: {length}\r\n\r\n{body}"));
            }
            Some((body, Some(size))) => {
                length = body.len();
                text.push_str("Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.as_bytes().chunks(size) {
                    text.push_str(&format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()));
                }
                text.push_str("0\r\n\r\n");
            }
        }
        (text.into_bytes(), length as u64)
    })
}

/// `bytes`, cut at these places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Bytes that framing is made of.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(
            &[
                "\n",
                "\r",
                "\r\n",
                " ",
                "\t",
                ":",
                ";",
                "\0",
                "0",
                "5",
                ",",
                "-",
                "x",
                "chunked",
                "Content-Length: 3\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Upgrade: a\r\n",
                "HTTP/1.0",
                "\r\n\r\n",
                "0\r\n\r\n",
                "GET / HTTP/1.1\r\n\r\n",
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn valid_requests_pass_however_they_are_cut(
        requests in prop::collection::vec(valid(), 1..4),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let lengths: Vec<u64> = requests.iter().map(|(_, length)| *length).collect();
        prop_assert_eq!(read(&cut(&bytes, &places)), (lengths.clone(), None));
        prop_assert_eq!(heard(&bytes), lengths.clone());
        prop_assert_eq!(hyper(&bytes), lengths);
    }

    #[test]
    fn what_passes_means_the_same_to_hyper(
        requests in prop::collection::vec(valid(), 1..3),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, piece()), 1..4),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut bytes: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        for (place, gone, piece) in changes {
            let at = place.index(bytes.len() + 1);
            let end = bytes.len().min(at + gone);
            bytes.splice(at..end, piece);
        }
        let (bodies, error) = read(&cut(&bytes, &places));
        prop_assert_eq!(&read(&[&bytes]), &(bodies.clone(), error), "it rests on how the stream is cut");
        // What was refused hyper does not get; it may be stricter, and then reads less.
        let (passed, _) = feed(&mut Framing::new(), &bytes);
        let theirs = hyper(&bytes[..passed]);
        prop_assert!(theirs.len() <= bodies.len(), "hyper reads {theirs:?}, we {bodies:?}");
        prop_assert_eq!(&theirs[..], &bodies[..theirs.len()]);
        let ours = heard(&bytes);
        prop_assert!(ours.len() <= bodies.len(), "we serve {ours:?} of {bodies:?}");
        prop_assert_eq!(&ours[..], &bodies[..ours.len()]);
    }
}
