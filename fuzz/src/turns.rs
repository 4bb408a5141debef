//! A client whose words come in turns, between which the connection works; who waits for nothing is found out.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both ends of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Mutex<Ways>>);

#[derive(Debug)]
struct Ways {
    /// What is still to come, and what has.
    words: VecDeque<u8>,
    here: VecDeque<u8>,
    heard: Vec<u8>,
    /// The most that one write takes, and whether the next one has to wait first.
    room: usize,
    is_full: bool,
    /// Who reads.
    reader: Option<Waker>,
    /// The client has closed its end, and the connection its own.
    is_cut: bool,
    is_shut: bool,
}

/// Whether somebody has something to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Turns {
    /// A client that will say all of this, and takes so much at a time.
    pub(crate) fn new(words: &[u8], room: usize) -> Self {
        Self(Arc::new(Mutex::new(Ways {
            words: words.iter().copied().collect(),
            here: VecDeque::new(),
            heard: Vec::new(),
            room,
            is_full: false,
            reader: None,
            is_cut: false,
            is_shut: false,
        })))
    }

    /// What was written to it.
    pub(crate) fn heard(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().heard)
    }

    /// Whether the connection has closed its end.
    pub(crate) fn is_shut(&self) -> bool {
        self.lock().is_shut
    }

    /// Works to the end, while so much comes in each turn, over and over. The client closes its end behind its last word
    /// if it is hasty, else when nothing more is done.
    pub(crate) fn drive<F: Future>(&self, pace: &[usize], is_hasty: bool, work: F) -> F::Output {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut work = pin!(work);
        // A byte each way costs some turns; whoever needs more goes in a circle.
        let most = 100 * (self.lock().words.len() + 100);
        for come in pace.iter().cycle().take(most) {
            let is_quiet = !woken.0.swap(false, Ordering::Relaxed);
            if !is_quiet && let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            let mut ways = self.lock();
            let is_over = ways.words.is_empty();
            assert!(!(is_quiet && is_over && ways.is_cut), "it waits for a client that is gone");
            let count = ways.words.len().min(*come);
            let more: Vec<u8> = ways.words.drain(..count).collect();
            ways.here.extend(more);
            ways.is_cut |= if is_hasty { ways.words.is_empty() } else { is_quiet && is_over };
            if count > 0 || ways.is_cut {
                ways.reader.take().into_iter().for_each(Waker::wake);
            }
        }
        panic!("it never ends");
    }

    fn lock(&self) -> MutexGuard<'_, Ways> {
        self.0.lock().expect("one thread")
    }
}

impl AsyncRead for Turns {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ways = self.lock();
        let count = ways.here.len().min(buf.remaining());
        if count == 0 && !ways.is_cut {
            ways.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf.put_slice(&ways.here.drain(..count).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Turns {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut ways = self.lock();
        assert!(!ways.is_shut, "it writes behind its end");
        if std::mem::take(&mut ways.is_full) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let count = buf.len().min(ways.room);
        ways.is_full = count < buf.len();
        ways.heard.extend_from_slice(buf.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().is_shut = true;
        Poll::Ready(Ok(()))
    }
}
