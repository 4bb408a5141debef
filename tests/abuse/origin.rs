//! What stands behind Tidegate: answers everything at once; `/big` with more than any buffer on the way holds, `/slow`
//! after three seconds. It counts what it is asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::Rank;

/// More than the sockets' buffers on the way hold.
const BIG: usize = 256 << 20;

/// What the kernel takes of an answer at a time. On a kernel that does not interrupt system calls (PREEMPT_NONE) whoever writes
/// more holds a core for as long as that takes, whatever his rank.
const SENT: usize = 64 << 10;

/// How long a connection may be idle: kept ones must not look like descriptors that Tidegate lost.
const KEPT: Duration = Duration::from_secs(15);

/// For so long nothing more has to come before all of it is taken to have come.
const SETTLED: Duration = Duration::from_millis(200);

/// One that serves until the run ends.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Asked,
}

/// How many requests came with a query, by that query: who floods names the flood in it.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<Mutex<HashMap<String, usize>>>);

impl Asked {
    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// Serves from a thread of its own.
    pub(crate) async fn start(rank: Rank) -> Result<Self> {
        let (told, address) = oneshot::channel();
        let asked = Asked::default();
        std::thread::spawn({
            let asked = asked.clone();
            move || {
                rank.take()?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                LocalSet::new().block_on(&runtime, serve(told, asked))
            }
        });
        Ok(Self { address: address.await?, asked })
    }

    /// Counts anew.
    pub(crate) fn forget(&self) {
        self.asked.counts().clear();
    }

    /// Ports that nobody can connect to it from for a minute (TIME_WAIT, RFC 9293 §3.6.1); see proc_net_tcp(5).
    pub(crate) fn ports_kept(&self) -> Result<usize> {
        let (port, sockets) = (format!(":{:04X}", self.address.port()), std::fs::read_to_string("/proc/net/tcp")?);
        let is_kept = |line: &&str| {
            let mut fields = line.split_whitespace().skip(2);
            fields.next().is_some_and(|peer| peer.ends_with(&port)) && fields.next() == Some("06")
        };
        Ok(sockets.lines().filter(is_kept).count())
    }

    /// The most requests that came with one query, once no more are coming.
    pub(crate) async fn most_asked(&self) -> usize {
        let total = || self.asked.counts().values().sum::<usize>();
        let mut before = None;
        while before != Some(total()) {
            before = Some(total());
            tokio::time::sleep(SETTLED).await;
        }
        self.asked.counts().values().copied().max().unwrap_or_default()
    }
}

async fn serve(told: oneshot::Sender<SocketAddr>, asked: Asked) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let _ = told.send(listener.local_addr()?);
    let big = Bytes::from(vec![0; BIG]);
    loop {
        let (stream, _) = listener.accept().await?;
        socket2::SockRef::from(&stream).set_send_buffer_size(SENT)?;
        let (big, asked) = (big.clone(), asked.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            if let Some(query) = request.uri().query() {
                *asked.counts().entry(query.to_owned()).or_default() += 1;
            }
            answer(request, big.clone())
        });
        tokio::task::spawn_local(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(KEPT);
            // Whoever is cut off here is Tidegate's to judge.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, big: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        "/big" => big,
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Bytes::from_static(b"at last\n")
        }
        _ => Bytes::from_static(b"fine\n"),
    };
    let mut incoming = request.into_body();
    while let Some(Ok(_)) = incoming.frame().await {}
    Ok(Response::new(Full::new(body)))
}
