//! What a registry says on a connection: in an answer that is taken for whole, the HTTP library finds the same; and it
//! makes no difference how the bytes arrive.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tidegate::base::body::Body;
use tidegate::upstream::h1::Connection;
use tidegate::upstream::h1::head::Outgoing;

use super::line::Line;

/// The bytes are what a registry says on one connection before it closes it.
pub fn check(data: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        let whole = taken(data, usize::MAX, &method);
        for at_once in [1, 7] {
            assert_eq!(taken(data, at_once, &method), whole, "read otherwise {at_once} bytes at a time");
        }
        let (Some(taken), None) = (whole.answer, whole.failed) else { continue };
        if taken.status == StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        let heard = heard(data, &method);
        assert_eq!(heard.as_ref(), Some(&taken), "the library hears otherwise: {}", data.escape_ascii());
        assert!(!whole.again || whole.left == 0, "bytes are left for the next answer");
    }
}

/// An answer.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// What was made of it.
#[derive(Debug)]
struct Taken {
    answer: Option<Answer>,
    failed: Option<String>,
    /// Whether the connection would be used again, and how many bytes were not looked at then.
    again: bool,
    left: usize,
}

impl PartialEq for Taken {
    fn eq(&self, other: &Self) -> bool {
        // How far was read when it was over rests on how the bytes came.
        self.answer == other.answer && self.failed == other.failed
    }
}

fn taken(data: &[u8], at_once: usize, method: &Method) -> Taken {
    let mut line = Line::server(data, at_once);
    let mut connection = Connection::new(&mut line, 1 << 20);
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.clone();
    connection.start(Outgoing::new("a", request));
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = Taken { answer: None, failed: None, again: false, left: 0 };
    match connection.poll_head(&mut cx) {
        Poll::Ready(Ok(head)) => {
            taken.answer = Some(Answer { status: head.status, headers: head.headers, body: Vec::new() });
        }
        Poll::Ready(Err(fault)) => taken.failed = Some(fault.to_string()),
        Poll::Pending => panic!("it waits for a peer that is gone"),
    }
    while let Some(answer) = taken.answer.as_mut().filter(|_| taken.failed.is_none()) {
        match connection.poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => answer.body.extend(frame.into_data().unwrap_or_default()),
            Poll::Ready(Some(Err(fault))) => taken.failed = Some(fault.to_string()),
            Poll::Ready(None) => break,
            Poll::Pending => panic!("it waits for a peer that is gone"),
        }
    }
    taken.again = connection.finish();
    drop(connection);
    taken.left = line.left();
    taken
}

/// What the library makes of it.
fn heard(data: &[u8], method: &Method) -> Option<Answer> {
    let line = Line::server(data, usize::MAX);
    let mut builder = http1::Builder::new();
    builder.max_headers(128).max_buf_size(1 << 20);
    let mut cx = Context::from_waker(Waker::noop());
    let mut shaking = pin!(builder.handshake::<_, Empty<Bytes>>(TokioIo::new(line)));
    let Poll::Ready(Ok((mut sender, connection))) = shaking.as_mut().poll(&mut cx) else { return None };
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    let mut answered = pin!(async {
        let answer = sender.send_request(request).await.ok()?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes().to_vec();
        Some(Answer { status: head.status, headers: head.headers, body })
    });
    let (mut connection, mut ended) = (pin!(connection), false);
    for _ in 0..1024 {
        // First of all the request has to be there: nothing may be said before it.
        if let Poll::Ready(answer) = answered.as_mut().poll(&mut cx) {
            return answer;
        }
        ended = ended || connection.as_mut().poll(&mut cx).is_ready();
    }
    None
}
