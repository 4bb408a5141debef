//! Whether a client is still there, and how much it may have under way.
//!
//! ```text
//! nothing moved for 20 s ─▶ PING ─▶ nothing moved for `timeouts.idle`: lost
//! much of a body taken   ─▶ PING … PONG: as much came meanwhile as the window holds? it holds the line up: eight times as much
//! a window has grown     ─▶ PING … PONG: now the client has heard of it, and the next round trip is the new window's
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

use crate::server::activity::Activity;

/// How long nothing comes from a client and nothing goes to it before it is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(20);
/// What is taken of bodies before it is worth asking how long the line is: a small request never is.
const WORTH: u64 = 256 * 1024;
/// What a window grows by at a time: twice, and the largest is reached.
const FACTOR: u32 = 8;
/// The least time between two askings of which nothing came; it doubles, up to the most: a large layer may come behind
/// many small ones.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// HTTP/2 receive windows as they are at first: of a stream, what a slow registry lets a fast client pile up here; of a
/// connection several streams' worth, so that one upload whose registry stalls does not stop the others of its client.
pub(super) const WINDOW: Windows = Windows { stream: MEBI, connection: 4 * MEBI };
/// The largest a stream's window grows to: 5 Gbit/s over a line of 100 ms.
const LARGEST: u32 = 64 * MEBI;
/// What the windows of all connections may grow by, in MiB; those that find too little left stay as they are.
pub(super) const GROWTH: usize = 512;
/// Nobody takes more at a time than this part of what is left: eight clients with large windows must leave the ninth some.
const PART: usize = 4;
const MEBI: u32 = 1024 * 1024;

/// Receive windows (RFC 9113 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) stream: u32,
    pub(super) connection: u32,
}

/// What passed, in bytes; a connection and the bodies of its requests tell it, all on one worker.
#[derive(Debug)]
pub(super) struct Heard {
    moved: AtomicU64,
    taken: AtomicU64,
    activity: Arc<Activity>,
}

impl Heard {
    /// Nothing yet.
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self { moved: AtomicU64::new(0), taken: AtomicU64::new(0), activity }
    }

    /// Something came.
    pub(super) fn came(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A part of an answer went: a client that reads slowly says nothing, and its PONG waits behind what it reads. The last
    /// parts go after the request has ended for everybody else.
    pub(super) fn answered(&self, bytes: u32) {
        self.moved.fetch_add(u64::from(bytes), Ordering::Relaxed);
        self.activity.went_on();
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
    /// What had moved when the timer was set.
    known: u64,
    /// How long a client has for a sign of life.
    patience: Duration,
    /// It was asked for one when the timer was set.
    is_last_wait: bool,
    timer: Pin<Box<Sleep>>,
    growth: Growth,
}

impl Pulse {
    /// `pings`: the connection's. `shared`: what all windows may grow by, in MiB. `patience`: `timeouts.idle`.
    pub(super) fn new(pings: Option<PingPong>, heard: Arc<Heard>, shared: Arc<Semaphore>, patience: Duration) -> Self {
        let (timer, growth) = (Box::pin(tokio::time::sleep(QUIET)), Growth::new(shared));
        Self { pings, heard, asked: None, known: 0, patience, is_last_wait: false, timer, growth }
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
            let moved = self.heard.moved.load(Ordering::Relaxed);
            let is_quiet = moved == self.known;
            if is_quiet && self.is_last_wait {
                return Poll::Ready(Beat::Lost);
            }
            if is_quiet && self.asked.is_none() {
                self.ask(taken);
            }
            (self.known, self.is_last_wait) = (moved, is_quiet);
            self.timer.as_mut().reset(Instant::now() + if is_quiet { self.patience } else { QUIET });
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
    /// It has grown, and the client may not have heard of it: what passes says nothing of the new windows yet.
    is_news: bool,
    /// What had been taken when it was last measured.
    measured: u64,
    /// Not before then, and how long it was waited last.
    next: Option<(Instant, Duration)>,
}

impl Growth {
    fn new(shared: Arc<Semaphore>) -> Self {
        Self { windows: WINDOW, shared, share: None, is_news: false, measured: 0, next: None }
    }

    fn is_worth_asking(&self, taken: u64) -> bool {
        let is_open = self.windows.stream < LARGEST && self.next.is_none_or(|(at, _)| at <= Instant::now());
        is_open && (self.is_news || taken - self.measured >= WORTH)
    }

    /// In a round trip `passed` was taken. Gives the windows to have from now on, where it is other ones.
    fn measured(&mut self, taken: u64, passed: u64) -> Option<Windows> {
        self.measured = taken;
        if std::mem::take(&mut self.is_news) {
            return None;
        }
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
        if more as usize * PART > self.shared.available_permits() {
            return None;
        }
        let share = Arc::clone(&self.shared).try_acquire_many_owned(more).ok()?;
        match &mut self.share {
            Some(have) => have.merge(share),
            none => *none = Some(share),
        }
        self.windows = Windows { stream, connection };
        self.is_news = true;
        Some(self.windows)
    }
}

#[cfg(test)]
mod tests;
