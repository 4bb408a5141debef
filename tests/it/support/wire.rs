//! A recording HTTP/1.1 server that answers byte for byte what its script says.
//!
//! It is no hyper on purpose: what a peer of the gateway receives is to be seen as it came over the line, and what it
//! sends may be as wrong as a test likes.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::soon;

/// How long a trickle rests before each byte.
const PAUSE: Duration = Duration::from_millis(20);

/// How a request's body has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is still coming.
    Open,
    /// All of it came: as many bytes as the length said, or the last chunk.
    Complete,
    /// The connection ended before it did.
    Cut,
}

/// A request as it came over the line.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    /// Raw, as in the request line.
    pub(crate) target: String,
    /// In the order of the line; names as they were spelled.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    pub(crate) ending: Ending,
}

/// What the peer does next.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Sends these bytes and goes on with the connection.
    Reply(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Last(Vec<u8>),
    /// Sends these bytes, then neither reads nor closes.
    Freeze(Vec<u8>),
    /// Sends these bytes, then sends back what it gets.
    Tunnel(Vec<u8>),
    /// Sends the first bytes, then the second again and again, until nobody takes them.
    Endless(Vec<u8>, Vec<u8>),
    /// The same, but each byte of the second by itself, and a pause before it.
    Trickle(Vec<u8>, Vec<u8>),
}

/// What a peer answers.
pub(crate) trait Script: Send + Sync + 'static {
    /// Before the body is read; `None`: the body is read first.
    fn at_head(&self, _request: &Received) -> Option<Answer> {
        None
    }

    /// When the whole request is there.
    fn at_end(&self, request: &Received) -> Answer;
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Seen {
    requests: Mutex<Vec<Received>>,
    /// Who has connected, in that order.
    peers: Mutex<Vec<SocketAddr>>,
    /// Connections that have ended.
    closed: Mutex<Vec<usize>>,
    news: watch::Sender<u64>,
}

impl Wire {
    /// Listens on a free port of the loopback.
    pub(crate) async fn start(script: Arc<impl Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, peers, closed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let seen = Arc::new(Seen { requests, peers, closed, news: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, script, Arc::clone(&seen)));
        Self { address, seen, accepting }
    }

    /// Everything it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen.lock().clone()
    }

    /// Waits until what it was asked is as `wanted` says; gives that.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        self.wait(|| Some(self.requests()).filter(|requests| wanted(requests))).await
    }

    /// Waits until its connection of this number has ended.
    pub(crate) async fn closed(&self, connection: usize) {
        self.wait(|| self.seen.closed.lock().unwrap().contains(&connection).then_some(())).await;
    }

    /// How many connections it has been given: one of ours comes last, and none is before it unseen.
    pub(crate) async fn connections(&self) -> usize {
        let own = TcpStream::connect(self.address).await.unwrap();
        let own = own.local_addr().unwrap();
        self.wait(|| self.seen.peers.lock().unwrap().iter().position(|peer| *peer == own)).await
    }

    async fn wait<T>(&self, wanted: impl Fn() -> Option<T>) -> T {
        let mut news = self.seen.news.subscribe();
        soon(async {
            loop {
                news.borrow_and_update();
                if let Some(found) = wanted() {
                    return found;
                }
                news.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits for the body of its last request to end; gives that request.
    pub(crate) async fn last_ended(&self) -> Received {
        let ended = |all: &[Received]| all.last().is_some_and(|last| last.ending != Ending::Open);
        self.until(ended).await.pop().unwrap()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Received {
    /// Every value of a header, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// The one value of a header, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        match self.values(name).as_slice() {
            [] => None,
            [one] => Some(std::str::from_utf8(one).unwrap()),
            more => panic!("{name} came {} times", more.len()),
        }
    }

    /// The bearer token it came with.
    pub(crate) fn bearer(&self) -> &str {
        self.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Vec<Received>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Received>)) {
        change(&mut self.lock());
        self.news.send_modify(|count| *count += 1);
    }
}

async fn accept(listener: TcpListener, script: Arc<impl Script>, seen: Arc<Seen>) {
    let mut connections = tokio::task::JoinSet::new();
    for connection in 0.. {
        let Ok((stream, peer)) = listener.accept().await else { return };
        seen.peers.lock().unwrap().push(peer);
        seen.news.send_modify(|count| *count += 1);
        let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
        // The tasks end with the set, and the set with the server.
        connections.spawn(async move {
            let mut line = Line { stream, buffer: Vec::new() };
            // A connection that breaks off is what many tests are about.
            let _broken = serve(&mut line, connection, &*script, &seen).await;
            seen.closed.lock().unwrap().push(connection);
            seen.news.send_modify(|count| *count += 1);
        });
    }
}

async fn serve(line: &mut Line, connection: usize, script: &impl Script, seen: &Seen) -> io::Result<()> {
    loop {
        let head = line.until(b"\r\n\r\n").await?;
        let request = read_head(&head, connection);
        let mut at = 0;
        seen.change(|all| {
            at = all.len();
            all.push(request.clone());
        });
        let answer = match script.at_head(&request) {
            Some(answer) => answer,
            None => {
                let read = line.body(&request, |change| seen.change(|all| change(&mut all[at]))).await;
                let ending = if read.is_ok() { Ending::Complete } else { Ending::Cut };
                seen.change(|all| all[at].ending = ending);
                read?;
                let whole = seen.lock()[at].clone();
                script.at_end(&whole)
            }
        };
        match answer {
            Answer::Reply(bytes) => line.stream.write_all(&bytes).await?,
            Answer::Last(bytes) => {
                line.stream.write_all(&bytes).await?;
                return line.stream.shutdown().await;
            }
            Answer::Freeze(bytes) => {
                line.stream.write_all(&bytes).await?;
                return std::future::pending().await;
            }
            Answer::Endless(bytes, again) => {
                line.stream.write_all(&bytes).await?;
                loop {
                    line.stream.write_all(&again).await?;
                }
            }
            Answer::Trickle(bytes, again) => {
                line.stream.write_all(&bytes).await?;
                let mut pace = tokio::time::interval(PAUSE);
                for byte in again.iter().cycle() {
                    pace.tick().await;
                    line.stream.write_all(&[*byte]).await?;
                }
            }
            Answer::Tunnel(bytes) => {
                line.stream.write_all(&bytes).await?;
                let (mut from, mut to) = line.stream.split();
                to.write_all(&line.buffer).await?;
                tokio::io::copy(&mut from, &mut to).await?;
                return Ok(());
            }
        }
    }
}

fn read_head(head: &[u8], connection: usize) -> Received {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
    let (method, rest) = first.split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    Received {
        connection,
        method: method.to_owned(),
        target: target.to_owned(),
        headers: lines.filter_map(field).collect(),
        body: Vec::new(),
        trailers: Vec::new(),
        ending: Ending::Open,
    }
}

/// `Name: value`; only the blanks that are no part of the value (RFC 9110 §5.5) are taken off.
fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    Some((String::from_utf8(name.to_vec()).unwrap(), value[1..].trim_ascii().to_vec()))
}

/// One end of a connection, and what was read of it ahead.
struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.buffer.drain(..at + mark.len()).collect());
            }
            self.more().await?;
        }
    }

    /// Reads the body, telling of each part as it comes.
    async fn body(&mut self, head: &Received, tell: impl Fn(&dyn Fn(&mut Received))) -> io::Result<()> {
        if head.header("transfer-encoding").is_none() {
            let length = head.header("content-length").map_or(0, |length| length.parse().unwrap());
            return self.part(length, &tell).await;
        }
        loop {
            let size = self.until(b"\r\n").await?;
            let size = std::str::from_utf8(&size).unwrap().trim();
            match usize::from_str_radix(size, 16).unwrap() {
                0 => break,
                size => self.part(size, &tell).await?,
            }
            self.until(b"\r\n").await?;
        }
        loop {
            let line = self.until(b"\r\n").await?;
            match field(line.trim_ascii_end()) {
                Some(trailer) => tell(&|request| request.trailers.push(trailer.clone())),
                None => return Ok(()),
            }
        }
    }

    async fn part(&mut self, mut left: usize, tell: &impl Fn(&dyn Fn(&mut Received))) -> io::Result<()> {
        while left > 0 {
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let part: Vec<u8> = self.buffer.drain(..left.min(self.buffer.len())).collect();
            left -= part.len();
            tell(&|request| request.body.extend_from_slice(&part));
        }
        Ok(())
    }
}

/// An answer with a length.
pub(crate) fn reply(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !status.starts_with("204") && !status.starts_with("304") {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}
