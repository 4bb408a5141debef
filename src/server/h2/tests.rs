mod turns;

use h2::Reason;
use h2::client::{SendRequest, handshake};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::pulse::GROWTH;
use super::*;
use crate::base::body::BodyError;
use crate::server::tests::{Answer, settings};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const IDLE: Duration = Duration::from_secs(60);

struct Running {
    metrics: Arc<Metrics>,
    ended: JoinHandle<Result<(), Error>>,
}

impl Running {
    fn says(&self, line: &str) -> bool {
        self.metrics.encode().contains(line)
    }
}

fn activity() -> Arc<Activity> {
    Activity::new(IDLE, IDLE)
}

/// A connection, and the client's end of it.
fn run<S, F>(service: S) -> (DuplexStream, Running)
where
    S: Fn(Request<Body>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let metrics = Arc::new(Metrics::new());
    let settings = Settings { idle: IDLE, ..settings() };
    let protocol = Arc::new(Protocol::new(&settings, Arc::clone(&metrics)));
    let (client, server) = duplex(1 << 20);
    let service = move |request| {
        let answer = service(request);
        async move { Ok(answer.await) }
    };
    let ended = tokio::spawn(Connection::new(server, service, protocol, activity()));
    (client, Running { metrics, ended })
}

/// A client that speaks the protocol well.
async fn client(io: DuplexStream) -> SendRequest<Bytes> {
    let (sender, connection) = handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

fn request(method: Method) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static("https://a/");
    request
}

/// How each body ended that a service read: its bytes, or an error.
type Read = UnboundedReceiver<Result<usize, String>>;

fn reader() -> (impl Fn(Request<Body>) -> Answer + Send + 'static, Read) {
    let (told, read) = unbounded_channel();
    let service = move |request: Request<Body>| -> Answer {
        let told = told.clone();
        // A task of its own: what serves the stream ends with it.
        let reading = tokio::spawn(async move {
            let body = request.into_body().collect().await;
            let _ = told.send(body.map(|body| body.to_bytes().len()).map_err(|error| error.to_string()));
        });
        Box::pin(async move {
            let _ = reading.await;
            Response::new(Body::empty())
        })
    };
    (service, read)
}

#[tokio::test]
async fn a_stream_that_is_reset_is_never_one_that_ended() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let (service, mut read) = reader();
        let (io, _running) = run(service);
        let mut sender = client(io).await;
        let (_answer, mut body) = sender.send_request(request(Method::PUT), false).unwrap();
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        tokio::task::yield_now().await;
        body.send_reset(reason);
        let read = read.recv().await.unwrap();
        assert!(read.is_err(), "{reason}: {read:?}");
    }
}

#[tokio::test]
async fn a_body_that_ends_is_whole_with_its_trailers() {
    let (told, mut hears) = unbounded_channel();
    let (io, _running) = run(move |request: Request<Body>| {
        let told = told.clone();
        async move {
            let hint = request.body().size_hint().exact();
            let body = request.into_body().collect().await.unwrap();
            let trailers = body.trailers().cloned();
            told.send((hint, body.to_bytes(), trailers)).unwrap();
            Response::new(Body::empty())
        }
    });
    let mut sender = client(io).await;
    let mut counted = request(Method::PUT);
    counted.headers_mut().insert(CONTENT_LENGTH, 5.into());
    let (_answer, mut body) = sender.send_request(counted, false).unwrap();
    body.send_data(Bytes::from_static(b"whole"), true).unwrap();
    assert_eq!(hears.recv().await.unwrap(), (Some(5), Bytes::from_static(b"whole"), None));
    let (_answer, mut body) = sender.send_request(request(Method::PUT), false).unwrap();
    body.send_data(Bytes::from_static(b"more"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", 7.into());
    body.send_trailers(trailers.clone()).unwrap();
    assert_eq!(hears.recv().await.unwrap(), (None, Bytes::from_static(b"more"), Some(trailers)));
}

#[tokio::test]
async fn an_answer_says_what_it_may_and_no_more() {
    let (io, _running) = run(|request: Request<Body>| async move {
        let mut response = Response::new(Body::full("words"));
        *response.status_mut() =
            if request.method() == Method::DELETE { StatusCode::NO_CONTENT } else { StatusCode::OK };
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            response.headers_mut().insert(name, http::HeaderValue::from_static("close"));
        }
        response
    });
    let mut sender = client(io).await;
    for (method, length, text) in
        [(Method::GET, Some("5"), "words"), (Method::HEAD, Some("5"), ""), (Method::DELETE, None, "")]
    {
        let (answer, _body) = sender.send_request(request(method.clone()), true).unwrap();
        let answer = answer.await.unwrap();
        let said: Vec<_> = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
        let expected: &[&str] = if length.is_some() { &["content-length", "date"] } else { &["date"] };
        assert_eq!(said, expected, "{method}");
        assert_eq!(answer.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap()), length, "{method}");
        let mut body = answer.into_body();
        let mut all = Vec::new();
        while let Some(data) = body.data().await {
            all.extend_from_slice(&data.unwrap());
        }
        assert_eq!(all, text.as_bytes(), "{method}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset() {
    let (io, _running) = run(|_request: Request<Body>| async move {
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
        sender.send_data(Bytes::from_static(b"part")).await.unwrap();
        sender.abort("lost".into());
        Response::new(Body::wrap(body))
    });
    let (answer, _body) = client(io).await.send_request(request(Method::GET), true).unwrap();
    // The head may still wait for its turn when the stream is reset.
    let error = match answer.await {
        Err(error) => error,
        Ok(answer) => {
            let mut body = answer.into_body();
            let mut next = body.data().await.expect("it ended well");
            while next.is_ok() {
                next = body.data().await.expect("it ended well");
            }
            next.unwrap_err()
        }
    };
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_its_window_shut_is_given_up() {
    let length = 1 << 20;
    let (io, running) = run(move |_request: Request<Body>| async move {
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
        tokio::spawn(async move {
            for _ in 0..16 {
                // Nobody may want it any more.
                let _ = sender.send_data(Bytes::from(vec![0; length / 16])).await;
            }
        });
        Response::new(Body::wrap(body))
    });
    let mut sender = client(io).await;
    let (answer, _body) = sender.send_request(request(Method::GET), true).unwrap();
    let began = Instant::now();
    let mut body = answer.await.unwrap().into_body();
    let mut read = 0;
    // What the windows let through, which nobody gives back.
    let error = loop {
        match body.data().await.expect("it ended well") {
            Ok(data) => read += data.len(),
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason(), read), (Some(Reason::CANCEL), 65_535));
    assert!(began.elapsed() >= IDLE);
    assert!(running.says("tidegate_limit_hits_total{limit=\"idle\"} 1\n"));
    // The connection's other streams go on, once its own window is open again.
    body.flow_control().release_capacity(read).unwrap();
    let (answer, _body) = sender.send_request(request(Method::GET), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut read = 0;
    while let Some(data) = body.data().await {
        // Slow, and yet not a shut window.
        tokio::time::sleep(IDLE / 8).await;
        let data = data.unwrap_or_else(|error| panic!("{error} after {read} bytes, {:?}", began.elapsed())).len();
        body.flow_control().release_capacity(data).unwrap();
        read += data;
    }
    assert_eq!(read, length);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_no_sign_of_life_is_lost() {
    let (mut io, running) = run(|_request: Request<Body>| async { Response::new(Body::empty()) });
    io.write_all(PREFACE).await.unwrap();
    let began = Instant::now();
    let error = running.ended.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Silent), "{error}");
    assert_eq!(
        began.elapsed(),
        2 * Duration::from_secs(20) + IDLE,
        "heard at once, quiet for 20 s, asked, and waited for"
    );
    let mut heard = Vec::new();
    io.read_to_end(&mut heard).await.unwrap();
    // A PING, whose eight bytes are the crate's.
    assert!(heard[..heard.len() - 8].ends_with(&[0, 0, 8, 6, 0, 0, 0, 0, 0]), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn any_sign_of_life_will_do() {
    let (mut io, running) = run(|_request: Request<Body>| async { Response::new(Body::empty()) });
    io.write_all(PREFACE).await.unwrap();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(15)).await;
        // WINDOW_UPDATE: a client that reads slowly sends nothing else, and its PONG waits behind what it reads.
        io.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]).await.unwrap();
    }
    assert!(!running.ended.is_finished());
    let pongs = client_of_the_crate_is_never_lost().await;
    assert!(!pongs.ended.is_finished());
}

/// What it reads in 20 s is less than what waits before the PING, and its PONG comes later still.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_and_says_nothing_is_not_lost() {
    let (io, running) = run(|_request: Request<Body>| async { Response::new(Body::full(vec![0; 4 << 20])) });
    let (mut reads, mut writes) = tokio::io::split(io);
    let head = [0, 0, 14, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x87, 0x41, 0x09];
    writes.write_all(&[PREFACE, &head, b"localhost"].concat()).await.unwrap();
    // Connection and stream windows of 4 MiB and more: it has nothing to say for all of the answer.
    for stream in [0, 1] {
        writes.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, stream, 0, 64, 0, 0]).await.unwrap();
    }
    let mut part = vec![0; 64 * 1024];
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let _some = reads.read(&mut part).await.unwrap();
        assert!(!running.ended.is_finished());
    }
}

async fn client_of_the_crate_is_never_lost() -> Running {
    let (io, running) = run(|_request: Request<Body>| async { Response::new(Body::empty()) });
    let sender = client(io).await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    drop(sender.ready().await.expect("it was cut"));
    running
}

#[tokio::test]
async fn a_connection_told_to_leave_before_it_spoke_ends_with_what_was_under_way() {
    let metrics = Arc::new(Metrics::new());
    let protocol = Arc::new(Protocol::new(&settings(), metrics));
    let (io, server) = duplex(1 << 20);
    let service = |_request: Request<Body>| async { Ok(Response::new(Body::full("last"))) };
    let mut connection = Connection::new(server, service, protocol, activity());
    connection.leave();
    let ended = tokio::spawn(connection);
    let (sender, connection) = handshake::<_>(io).await.unwrap();
    let closed = tokio::spawn(connection);
    // The client sees a good-bye; it may be gone before the last of it is written.
    assert!(closed.await.unwrap().is_ok());
    drop((ended.await.unwrap(), sender));
}

/// A line of 50 ms each way, in virtual time.
fn far(near: DuplexStream) -> DuplexStream {
    let (end, far) = duplex(1 << 20);
    let ((from_near, to_near), (from_far, to_far)) = (tokio::io::split(near), tokio::io::split(far));
    lay(from_near, to_far);
    lay(from_far, to_near);
    end
}

fn lay(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
    let (enter, mut leave) = unbounded_channel();
    tokio::spawn(async move {
        let mut part = bytes::BytesMut::new();
        while from.read_buf(&mut part).await.is_ok_and(|read| read > 0) {
            enter.send((Instant::now() + Duration::from_millis(50), part.split())).unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some((at, part)) = leave.recv().await {
            tokio::time::sleep_until(at).await;
            to.write_all(&part).await.unwrap();
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_long_line_is_filled_and_what_windows_grew_by_is_given_back() {
    let length = 128 << 20;
    let (service, mut read) = reader();
    let protocol = Arc::new(Protocol::new(&settings(), Arc::new(Metrics::new())));
    let (io, server) = duplex(1 << 20);
    let service = move |request| {
        let answer = service(request);
        async move { Ok(answer.await) }
    };
    let ended = tokio::spawn(Connection::new(server, service, Arc::clone(&protocol), activity()));
    let mut sender = client(far(io)).await;
    let began = Instant::now();
    let (_answer, mut body) = sender.send_request(request(Method::PUT), false).unwrap();
    body.send_data(Bytes::from(vec![0; length]), true).unwrap();
    assert_eq!(read.recv().await.unwrap(), Ok(length));
    // 13 s with the windows of the beginning, 1 MiB for each round trip.
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(GROWTH - protocol.growth.available_permits(), 64);
    ended.abort();
    assert!(ended.await.is_err());
    assert_eq!(protocol.growth.available_permits(), GROWTH);
}
