//! What stands behind Tidegate: answers everything at once; `/big` with more than any buffer on the way holds, `/slow`
//! after three seconds.

use std::convert::Infallible;
use std::net::SocketAddr;
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

/// Serves until the run ends, from a thread of its own.
pub(crate) async fn start(rank: Rank) -> Result<SocketAddr> {
    let (told, address) = oneshot::channel();
    std::thread::spawn(move || {
        rank.take()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, serve(told))
    });
    Ok(address.await?)
}

async fn serve(told: oneshot::Sender<SocketAddr>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let _ = told.send(listener.local_addr()?);
    let big = Bytes::from(vec![0; BIG]);
    loop {
        let (stream, _) = listener.accept().await?;
        socket2::SockRef::from(&stream).set_send_buffer_size(SENT)?;
        let big = big.clone();
        let service = service_fn(move |request| answer(request, big.clone()));
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
