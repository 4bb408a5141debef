//! A connection's turn at its worker.
//!
//! ```text
//! socket, timers ─▶ Bell of the line    ─┐
//! registries     ─▶ Bell of the streams ─┴▶ the connection's task, unless it is at its turn and looks anyway
//! ```
//! A worker goes from task to task. All of a connection is one of them, and its turn ends after so many streams: a client
//! with a hundred requests keeps another one waiting no longer than a client with eight, but for reading their heads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake};

use futures_util::task::AtomicWaker;
use tokio::task::{coop, yield_now};

/// Streams that go on in a turn. One of them may open a connection to a registry, which is some 50 µs.
const STREAMS: usize = 8;

/// What is left of a turn, for the streams to take from.
#[derive(Debug, Default)]
pub(super) struct Turn {
    left: AtomicUsize,
    /// The task is at its turn: there is no need to wake it.
    is_on: AtomicBool,
    task: AtomicWaker,
}

impl Turn {
    /// Whether a stream may go on in this turn.
    pub(super) fn take(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    /// The task of `cx` begins one.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        self.left.store(STREAMS, Ordering::Relaxed);
        self.task.register(cx.waker());
        self.is_on.store(true, Ordering::SeqCst);
    }

    /// It is over when so many streams went on, or the worker's other tasks have waited long enough for another reason.
    pub(super) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0 || !coop::has_budget_remaining()
    }

    /// The task gives way; who rings from now on wakes it.
    pub(super) fn end(&self) {
        self.is_on.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        if !self.is_on.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

/// Has the task of `cx` come up again once every other task that is ready has, those included that the worker hears of only
/// now: waking itself, it would stand before these.
pub(super) fn give_way(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// Rung when a part of the connection can go on.
#[derive(Debug)]
pub(super) struct Bell {
    rung: AtomicBool,
    turn: Arc<Turn>,
}

impl Bell {
    /// One that is rung: nobody has looked yet.
    pub(super) fn new(turn: &Arc<Turn>) -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(true), turn: Arc::clone(turn) })
    }

    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.turn.wake();
        }
    }

    /// Whether it was rung since it was answered last.
    pub(super) fn answer(&self) -> bool {
        self.rung.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
