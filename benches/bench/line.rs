//! A long line: a TCP relay through which every byte takes its time, both ways, in order.
//!
//! ```text
//! client ──▶ read at once, stamped ──▶ [ under way: as many as it likes ] ──▶ written when its time has come ──▶ proxy
//! ```
//! The line itself holds nothing back: what limits a transfer is how much its two ends let be under way, and, where the
//! line was given a rate, the rate. TCP ends at the relay, so that its windows and its slow start are those of loopback:
//! a line that favours HTTP/1.1, which has no windows of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

/// What is read at a time.
const PIECE: usize = 256 << 10;

/// How long and how wide a line is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// From one end to the other.
    pub(crate) delay: Duration,
    /// Bytes a second, each way; none: as many as come.
    pub(crate) rate: Option<f64>,
}

/// Bytes under way, and when they arrive.
type Stamped = (Instant, Bytes);

impl Line {
    /// Lays it to `target`, on a thread of its own, and says where it begins. It ends with the process.
    pub(crate) fn to(self, target: SocketAddr) -> Result<SocketAddr> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        std::thread::Builder::new().name("line".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, self.serve(listener, target))
        })?;
        Ok(address)
    }

    async fn serve(self, listener: std::net::TcpListener, target: SocketAddr) -> Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (near, _) = listener.accept().await?;
            let far = TcpStream::connect(target).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            self.lay(from_near, to_far);
            self.lay(from_far, to_near);
        }
    }

    /// One direction. An error of either end closes that direction; the transfer sees it as the end of its connection.
    fn lay(self, from: OwnedReadHalf, to: OwnedWriteHalf) {
        let (enter, leave) = unbounded_channel();
        tokio::task::spawn_local(async move {
            let _ended = self.take(from, enter).await;
        });
        tokio::task::spawn_local(async move {
            let _ended = give(leave, to).await;
        });
    }

    async fn take(self, mut from: OwnedReadHalf, enter: UnboundedSender<Stamped>) -> Result<()> {
        let mut buffer = BytesMut::new();
        let mut free = Instant::now();
        loop {
            buffer.reserve(PIECE);
            if from.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            let piece = buffer.split().freeze();
            if let Some(rate) = self.rate {
                // The line is busy until the last of these bytes is on it; an idle one saves up nothing.
                free = free.max(Instant::now()) + Duration::from_secs_f64(piece.len() as f64 / rate);
                enter.send((free + self.delay, piece))?;
                sleep_until(free).await;
            } else {
                enter.send((Instant::now() + self.delay, piece))?;
            }
        }
    }
}

async fn give(mut leave: UnboundedReceiver<Stamped>, mut to: OwnedWriteHalf) -> Result<()> {
    while let Some((arrives, piece)) = leave.recv().await {
        sleep_until(arrives).await;
        to.write_all(&piece).await?;
    }
    Ok(to.shutdown().await?)
}
