//! A connection and its streams share a task, and what they write.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A service that says how many of its requests have begun, and how many are there.
fn counting(
    answer: impl Fn() -> Answer + Send + 'static,
) -> (impl Fn(Request<Body>) -> Answer + Send + 'static, Arc<AtomicUsize>, Arc<()>) {
    let (begun, there) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let service = {
        let (begun, there) = (Arc::clone(&begun), Arc::clone(&there));
        move |_request: Request<Body>| -> Answer {
            let (begun, there, answer) = (Arc::clone(&begun), Arc::clone(&there), answer());
            Box::pin(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                let answer = answer.await;
                drop(there);
                answer
            })
        }
    };
    (service, begun, there)
}

/// The client's end of a connection, and the connection, whose turns are a test's.
fn unpolled(
    service: impl Fn(Request<Body>) -> Answer + Send + 'static,
) -> (DuplexStream, impl Future<Output = Result<(), Error>> + Unpin) {
    let (io, server) = duplex(1 << 20);
    let protocol = Arc::new(Protocol::new(&settings(), Arc::new(Metrics::new())));
    let service = move |request| {
        let answer = service(request);
        async move { Ok(answer.await) }
    };
    (io, Connection::new(server, service, protocol, activity()))
}

#[tokio::test]
async fn what_is_taken_back_before_it_began_never_begins() {
    let (service, begun, _there) = counting(|| Box::pin(async { Response::new(Body::empty()) }));
    let (mut io, running) = run(service);
    let head = b"\x82\x87\x84\x41\x01a";
    let mut said = PREFACE.to_vec();
    for stream in (1..20).step_by(2) {
        said.extend([0, 0, 6, 0x1, 0x5, 0, 0, 0, stream]);
        said.extend(head);
        said.extend([0, 0, 4, 0x3, 0, 0, 0, 0, stream, 0, 0, 0, 8]);
    }
    said.extend([0, 0, 6, 0x1, 0x5, 0, 0, 0, 21]);
    said.extend(head);
    io.write_all(&said).await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(8).any(|frame| matches!(frame, [_, _, 0x1, _, 0, 0, 0, 21])) {
        assert!(io.read_buf(&mut heard).await.unwrap() > 0, "cut off");
    }
    running.ended.abort();
    assert_eq!(begun.load(Ordering::Relaxed), 1);
}

/// Who has a hundred requests must not keep a worker's other clients waiting for all of them.
#[tokio::test]
async fn a_turn_is_over_after_a_few_streams() {
    let (service, begun, _there) = counting(|| Box::pin(async { Response::new(Body::empty()) }));
    let (io, mut connection) = unpolled(service);
    let asking = tokio::spawn(async move {
        let mut sender = client(io).await;
        let answers: Vec<_> = (0..60).map(|_| sender.send_request(request(Method::GET), true).unwrap().0).collect();
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
        }
    });
    let mut turns = Vec::new();
    poll_fn(|cx| {
        let before = begun.load(Ordering::Relaxed);
        let _ = Pin::new(&mut connection).poll(cx);
        turns.push(begun.load(Ordering::Relaxed) - before);
        if begun.load(Ordering::Relaxed) < 60 { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    assert!(turns.iter().all(|begun| *begun <= 8), "{turns:?}");
    let _ = tokio::join!(connection, asking);
}

/// An end of a line that counts what is written to it, and takes a write before it is sent, as TLS does.
struct Tls {
    io: DuplexStream,
    unsent: Vec<u8>,
    writes: Arc<AtomicUsize>,
}

impl Tls {
    fn new(io: DuplexStream) -> (Self, Arc<AtomicUsize>) {
        let writes = Arc::<AtomicUsize>::default();
        (Self { io, unsent: Vec::new(), writes: Arc::clone(&writes) }, writes)
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))?;
            self.unsent.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Tls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.unsent.extend_from_slice(buf);
        let _ = self.poll_unsent(cx);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_unsent(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A narrow line between TLS and the client.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_waits_for_nothing_but_its_client() {
    for length in [1000, 9000, 16_000, 100_000] {
        let (io, server) = duplex(500);
        let protocol = Arc::new(Protocol::new(&settings(), Arc::new(Metrics::new())));
        let service = move |_request| async move { Ok(Response::new(Body::full(vec![b'a'; length]))) };
        let running = tokio::spawn(Connection::new(Tls::new(server).0, service, protocol, activity()));
        let mut sender = client(io).await;
        let began = Instant::now();
        for _ in 0..3 {
            let (answer, _body) = sender.send_request(request(Method::GET), true).unwrap();
            let mut body = answer.await.unwrap().into_body();
            let mut heard = 0;
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                heard += data.len();
            }
            assert_eq!(heard, length);
        }
        // A PING after 20 s would have brought the rest along.
        assert!(began.elapsed() < Duration::from_secs(1), "{length}: {:?}", began.elapsed());
        running.abort();
    }
}

/// Each answer in a write of its own is a TLS record and a system call each.
#[tokio::test]
async fn answers_that_are_there_together_are_written_together() {
    let (mut io, server) = duplex(1 << 20);
    let protocol = Arc::new(Protocol::new(&settings(), Arc::new(Metrics::new())));
    let service = |_request| async { Ok(Response::new(Body::full(vec![b'a'; 2000]))) };
    let (server, writes) = Tls::new(server);
    let running = tokio::spawn(Connection::new(server, service, protocol, activity()));
    let mut asked = PREFACE.to_vec();
    for stream in [1, 3, 5, 7] {
        let settled = writes.load(Ordering::Relaxed);
        asked.extend([0, 0, 6, 0x1, 0x5, 0, 0, 0, stream]);
        asked.extend(b"\x82\x87\x84\x41\x01a");
        if stream == 1 {
            io.write_all(&std::mem::take(&mut asked)).await.unwrap();
            hear(&mut io, 2000).await;
        } else if stream == 7 {
            io.write_all(&asked).await.unwrap();
            hear(&mut io, 3 * 2000).await;
            assert_eq!(writes.load(Ordering::Relaxed) - settled, 1);
        }
    }
    running.abort();
}

/// Reads until so many bytes of answers have come.
async fn hear(io: &mut DuplexStream, answers: usize) {
    let mut heard = Vec::new();
    while heard.iter().filter(|byte| **byte == b'a').count() < answers {
        assert!(io.read_buf(&mut heard).await.unwrap() > 0, "cut off");
    }
}

/// To close a hundred connections to a registry is work as well.
#[tokio::test]
async fn the_streams_of_a_connection_that_broke_off_end_in_turns_too() {
    let (service, begun, there) = counting(|| Box::pin(std::future::pending()));
    let (io, mut connection) = unpolled(service);
    let (sender, driving) = handshake::<_>(io).await.unwrap();
    let driving = tokio::spawn(driving);
    let mut sender = std::future::poll_fn(|cx| {
        let _ = Pin::new(&mut connection).poll(cx);
        Poll::Ready(sender.clone())
    })
    .await;
    let _answers: Vec<_> = (0..60).map(|_| sender.send_request(request(Method::GET), true).unwrap().0).collect();
    let mut turns = Vec::new();
    let ending = poll_fn(|cx| {
        let before = Arc::strong_count(&there);
        let polled = Pin::new(&mut connection).poll(cx);
        if begun.load(Ordering::Relaxed) == 60 {
            driving.abort();
        }
        turns.push(before.saturating_sub(Arc::strong_count(&there)));
        polled.map(drop)
    });
    tokio::time::timeout(Duration::from_secs(10), ending).await.unwrap();
    assert_eq!(Arc::strong_count(&there), 2, "requests go on");
    assert!(turns.iter().all(|ended| *ended <= 8), "{turns:?}");
}
