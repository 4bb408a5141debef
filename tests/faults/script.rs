//! A peer that misbehaves on cue: an HTTP/1.1 server that answers byte for byte what it is told, when it is told.
//!
//! It is no hyper on purpose: what it sends may be as wrong as a fault wants, and what it receives is recorded as it came.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Duration, sleep};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The other side's port, which tells connections apart.
    pub(crate) port: u16,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    /// Bytes of its body.
    pub(crate) body: usize,
    /// The body came to the end its framing promised.
    pub(crate) whole: bool,
    /// Bytes of the answer that its kernel took.
    pub(crate) given: usize,
}

/// What the peer does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Reads the body, answers, goes on.
    Answer(Vec<u8>),
    /// Reads the body, answers, closes.
    Last(Vec<u8>),
    /// Answers when so many bytes of the body have come, then reads nothing more and keeps the connection open.
    Deaf(usize, Vec<u8>),
    /// Reads everything and never says a word.
    Mute,
    /// Reads the body, then sends a byte of this at a time, so far apart, for as long as anybody listens.
    Trickle(Vec<u8>, Duration),
}

type Script = Rc<dyn Fn(&Asked) -> Act>;

/// A running peer; ends when dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Rc<RefCell<Seen>>,
    refused: Rc<Notify>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    asked: Vec<Asked>,
    /// Whence the connections came.
    from: BTreeSet<IpAddr>,
}

impl Peer {
    /// Listens on a free port of every address of the street.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Act + 'static) -> Result<Self> {
        Self::at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), script).await
    }

    /// The same with hardly any room in its kernel: what it could write, the other side's kernel has taken.
    pub(crate) async fn narrow(script: impl Fn(&Asked) -> Act + 'static) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_send_buffer_size(4096)?;
        socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        Self::on(socket.listen(128)?, script)
    }

    /// Listens there.
    pub(crate) async fn at(listen: SocketAddr, script: impl Fn(&Asked) -> Act + 'static) -> Result<Self> {
        Self::on(TcpListener::bind(listen).await?, script)
    }

    fn on(listener: TcpListener, script: impl Fn(&Asked) -> Act + 'static) -> Result<Self> {
        let address = listener.local_addr()?;
        let (seen, refused) = (Rc::new(RefCell::new(Seen::default())), Rc::new(Notify::new()));
        let (script, witness, told): (Script, _, _) = (Rc::new(script), Rc::clone(&seen), Rc::clone(&refused));
        let accepting = spawn_local(async move {
            // An accept error concerns one connection, whose opener will see it.
            loop {
                let Ok((stream, from)) = listener.accept().await else { continue };
                witness.borrow_mut().connections += 1;
                witness.borrow_mut().from.insert(from.ip());
                let (script, witness, told) = (Rc::clone(&script), Rc::clone(&witness), Rc::clone(&told));
                spawn_local(async move { serve(stream, from.port(), &script, &witness, &told).await });
            }
        });
        Ok(Self { address, seen, refused, accepting })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.borrow().connections
    }

    /// The addresses of all that ever connected to it.
    pub(crate) fn peers(&self) -> Vec<IpAddr> {
        self.seen.borrow().from.iter().copied().collect()
    }

    /// Waits until it has answered a request of which it reads no more.
    pub(crate) async fn refused(&self) {
        self.refused.notified().await;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.seen.borrow().asked.clone()
    }

    /// Those whose target contains this.
    pub(crate) fn asked_for(&self, what: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.target.contains(what)).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, port: u16, script: &Script, seen: &RefCell<Seen>, refused: &Notify) {
    let mut heard = Vec::new();
    loop {
        let Some(head) = until_head(&mut stream, &mut heard).await else { return };
        let mut words = head.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let asked = Asked { port, method, target, head, body: 0, whole: false, given: 0 };
        let act = script(&asked);
        let index = {
            let mut seen = seen.borrow_mut();
            seen.asked.push(asked.clone());
            seen.asked.len() - 1
        };
        // Its kernel goes on taking bytes until its buffers are full, as that of a registry that hangs would.
        if let Act::Deaf(after, bytes) = act {
            while heard.len() < after && more(&mut stream, &mut heard).await {}
            let _gone = stream.write_all(&bytes).await;
            refused.notify_one();
            return std::future::pending().await;
        }
        let (body, whole) = body(&mut stream, &mut heard, &asked.head).await;
        if let Some(asked) = seen.borrow_mut().asked.get_mut(index) {
            (asked.body, asked.whole) = (body, whole);
        }
        if !whole {
            return;
        }
        match act {
            Act::Answer(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::Last(bytes) => {
                give(&mut stream, &bytes, index, seen).await;
                let _gone = stream.shutdown().await;
                return;
            }
            Act::Trickle(bytes, pause) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    sleep(pause).await;
                }
            }
            Act::Deaf(..) | Act::Mute => {
                let mut rest = [0; 1024];
                while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
                return;
            }
        }
    }
}

/// Sends an answer, and counts what of it could be sent.
async fn give(stream: &mut TcpStream, bytes: &[u8], index: usize, seen: &RefCell<Seen>) {
    let mut left = bytes;
    while let Ok(sent @ 1..) = stream.write(left).await {
        left = left.get(sent..).unwrap_or_default();
        if let Some(asked) = seen.borrow_mut().asked.get_mut(index) {
            asked.given += sent;
        }
    }
}

async fn until_head(stream: &mut TcpStream, heard: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = heard.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = heard.drain(..at + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        more(stream, heard).await.then_some(())?;
    }
}

/// Reads a body away: how long it was, and whether it ended as it had promised.
async fn body(stream: &mut TcpStream, heard: &mut Vec<u8>, head: &str) -> (usize, bool) {
    let lower = head.to_ascii_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        let mut total = 0;
        // Tests send zeros, so the last chunk cannot stand in the middle of one.
        loop {
            if heard.ends_with(b"0\r\n\r\n") {
                return (total + heard.drain(..).len(), true);
            }
            if heard.len() > 64 {
                let over = heard.len() - 64;
                total += heard.drain(..over).len();
            }
            if !more(stream, heard).await {
                return (total + heard.drain(..).len(), false);
            }
        }
    }
    let length = lower.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut left: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let mut total = 0;
    loop {
        let take = left.min(heard.len());
        total += heard.drain(..take).len();
        left -= take;
        if left == 0 {
            return (total, true);
        }
        if !more(stream, heard).await {
            return (total, false);
        }
    }
}

async fn more(stream: &mut TcpStream, heard: &mut Vec<u8>) -> bool {
    let mut piece = vec![0; 64 << 10];
    match stream.read(&mut piece).await {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            heard.extend(piece.iter().take(read));
            true
        }
    }
}

/// An answer with this status line, these headers and this body, with its length.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What an ordinary registry answers to the steps of a push and to a pull, so that a script need only name its one lie.
pub(crate) fn ordinary(asked: &Asked) -> Act {
    let path = asked.target.split('?').next().unwrap_or_default();
    let upload = format!("{}?_state=a-state-that-is-secret-and-long-enough-to-find", path);
    Act::Answer(match asked.method.as_str() {
        "POST" => {
            let location = format!(
                "{path}8d6b4a46-2b9c-4a1c-9d0e-2f1f6f5d9b11?_state=a-state-that-is-secret-and-long-enough-to-find"
            );
            answer("202 Accepted", &[("Location", &location)], b"")
        }
        "PATCH" => answer("202 Accepted", &[("Location", &upload)], b""),
        "PUT" => answer("201 Created", &[("Location", path)], b""),
        _ => answer("200 OK", &[("Content-Type", "application/json")], b"{}"),
    })
}
