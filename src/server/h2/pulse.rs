//! Whether a client is still there, and how much it may have under way.
//!
//! ```text
//! nothing heard for 20 s ─▶ PING ─▶ nothing heard for 20 s more: lost
//! much of a body taken   ─▶ PING … PONG: as much came meanwhile as the window holds? it holds the line up: four times as much
//! ```
//! A PING and its answer go behind what is under way, so that between them passes what a window lets through in a round
//! trip.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long nothing is heard of a client before it is asked for a sign of life, and how long it has for one.
const QUIET: Duration = Duration::from_secs(20);
/// What is taken of bodies before it is worth asking how long the line is: a small request never is.
const WORTH: u64 = 256 * 1024;
/// What a window grows by at a time.
const FACTOR: u32 = 4;
/// The least time between two askings of which nothing came; it doubles, up to the most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// HTTP/2 receive windows as they are at first: of a stream, what a slow registry lets a fast client pile up here; of a
/// connection several streams' worth, so that one upload whose registry stalls does not stop the others of its client.
pub(super) const WINDOW: Windows = Windows { stream: MEBI, connection: 4 * MEBI };
/// The largest a stream's window grows to: 5 Gbit/s over a line of 100 ms.
const LARGEST: u32 = 64 * MEBI;
/// What the windows of all connections may grow by, in MiB; those that find nothing left stay as they are.
pub(super) const GROWTH: usize = 512;
const MEBI: u32 = 1024 * 1024;

/// Receive windows (RFC 9113 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) stream: u32,
    pub(super) connection: u32,
}

/// What was heard of a client, in bytes; its connection and the bodies of its requests tell it, all on one worker.
#[derive(Debug, Default)]
pub(super) struct Heard {
    read: AtomicU64,
    taken: AtomicU64,
}

impl Heard {
    /// Something came.
    pub(super) fn came(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Somebody took so much of a body.
    pub(super) fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// More may come.
    Grown(Windows),
    /// Nobody answers.
    Lost,
}

/// A connection's pings.
#[derive(Debug)]
pub(super) struct Pulse {
    pings: Option<PingPong>,
    heard: Arc<Heard>,
    /// What had been taken when the ping under way was sent.
    asked: Option<u64>,
    /// What had been read when the timer was set.
    known: u64,
    timer: Pin<Box<Sleep>>,
    growth: Growth,
}

impl Pulse {
    /// `pings`: the connection's. `shared`: what all windows may grow by, in MiB.
    pub(super) fn new(pings: Option<PingPong>, heard: Arc<Heard>, shared: Arc<Semaphore>) -> Self {
        let timer = Box::pin(tokio::time::sleep(QUIET));
        Self { pings, heard, asked: None, known: 0, timer, growth: Growth::new(shared) }
    }

    /// To be polled before the connection, which sends what is asked here, whenever that makes progress.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        let taken = self.heard.taken.load(Ordering::Relaxed);
        if let (Some(before), Some(pings)) = (self.asked, &mut self.pings)
            && pings.poll_pong(cx).is_ready()
        {
            self.asked = None;
            if let Some(windows) = self.growth.measured(taken, taken - before) {
                return Poll::Ready(Beat::Grown(windows));
            }
        }
        if self.asked.is_none() && self.growth.is_worth_asking(taken) {
            self.ask(taken);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let read = self.heard.read.load(Ordering::Relaxed);
            let is_quiet = read == self.known;
            if is_quiet && self.asked.is_some() {
                return Poll::Ready(Beat::Lost);
            }
            if is_quiet {
                self.ask(taken);
            }
            self.known = read;
            self.timer.as_mut().reset(Instant::now() + QUIET);
        }
        Poll::Pending
    }

    fn ask(&mut self, taken: u64) {
        // A connection that has ended takes none; that it has is told elsewhere.
        if self.pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok()) {
            self.asked = Some(taken);
        }
    }
}

/// How far a connection's windows have grown.
#[derive(Debug)]
struct Growth {
    windows: Windows,
    shared: Arc<Semaphore>,
    /// What it was grown by, which is given back with it.
    share: Option<OwnedSemaphorePermit>,
    /// What had been taken when it was last measured.
    measured: u64,
    /// Not before then, and how long it was waited last.
    next: Option<(Instant, Duration)>,
}

impl Growth {
    fn new(shared: Arc<Semaphore>) -> Self {
        Self { windows: WINDOW, shared, share: None, measured: 0, next: None }
    }

    fn is_worth_asking(&self, taken: u64) -> bool {
        self.windows.stream < LARGEST
            && taken - self.measured >= WORTH
            && self.next.is_none_or(|(at, _)| at <= Instant::now())
    }

    /// In a round trip `passed` was taken. Gives the windows to have from now on, where it is other ones.
    fn measured(&mut self, taken: u64, passed: u64) -> Option<Windows> {
        self.measured = taken;
        let grown = (passed >= u64::from(self.windows.stream) / 3 * 2).then(|| self.grow()).flatten();
        self.next = match grown {
            Some(_) => None,
            None => {
                let pause = self.next.map_or(PAUSES.0, |(_, pause)| (pause * 2).min(PAUSES.1));
                Some((Instant::now() + pause, pause))
            }
        };
        grown
    }

    fn grow(&mut self) -> Option<Windows> {
        let stream = self.windows.stream.saturating_mul(FACTOR).min(LARGEST);
        // One stream that nobody takes anything of leaves the others what they had.
        let connection = WINDOW.connection + stream;
        let more = (connection - self.windows.connection).div_ceil(MEBI);
        let share = Arc::clone(&self.shared).try_acquire_many_owned(more).ok()?;
        match &mut self.share {
            Some(have) => have.merge(share),
            none => *none = Some(share),
        }
        self.windows = Windows { stream, connection };
        Some(self.windows)
    }
}

#[cfg(test)]
mod tests;
