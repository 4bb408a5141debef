use std::pin::pin;
use std::task::Waker;

use tokio::io::AsyncWriteExt as _;

use super::*;

/// Takes at most so many bytes at a time, and says what came of each write.
struct Line {
    most: usize,
    blocked: bool,
    /// Takes all there is and has not sent it, as TLS does.
    lazy: bool,
    writes: Vec<Vec<u8>>,
    flushes: usize,
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.blocked && !self.lazy {
            return Poll::Pending;
        }
        let taken = buf.get(..self.most).unwrap_or(buf);
        self.writes.push(taken.to_vec());
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.blocked {
            return Poll::Pending;
        }
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn gather(most: usize) -> (Gather<Line>, Arc<Hold>) {
    let hold = Arc::<Hold>::default();
    (Gather::new(Line { most, blocked: false, lazy: false, writes: Vec::new(), flushes: 0 }, Arc::clone(&hold)), hold)
}

fn said(gather: &Gather<Line>) -> Vec<u8> {
    gather.inner.writes.concat()
}

#[tokio::test]
async fn small_writes_of_a_turn_go_out_together() {
    let (mut gather, hold) = gather(usize::MAX);
    hold.begin();
    for part in ["one ", "two ", "three"] {
        gather.write_all(part.as_bytes()).await.unwrap();
        gather.flush().await.unwrap();
    }
    assert_eq!((gather.inner.writes.len(), gather.inner.flushes), (0, 0));
    assert!(hold.end(), "something is held");
    gather.flush().await.unwrap();
    assert_eq!(gather.inner.writes, [b"one two three"]);
    assert_eq!((gather.inner.flushes, gather.held.capacity()), (1, 0));
    assert!(!hold.end());
    hold.begin();
    assert!(!hold.end(), "nothing is held any more");
}

#[tokio::test]
async fn what_is_not_held_keeps_its_place() {
    let (mut gather, hold) = gather(1000);
    let large = vec![b'x'; MOST];
    gather.write_all(b"at once ").await.unwrap();
    gather.flush().await.unwrap();
    assert_eq!(said(&gather), b"at once ");
    hold.begin();
    gather.write_all(b"held ").await.unwrap();
    gather.write_all(&large).await.unwrap();
    gather.write_all(b" again").await.unwrap();
    let _ = hold.end();
    gather.write_all(b"!").await.unwrap();
    gather.flush().await.unwrap();
    assert_eq!(said(&gather), [b"at once held ", &*large, b" again!"].concat());
}

#[tokio::test]
async fn what_is_held_goes_out_before_the_end() {
    let (mut gather, hold) = gather(3);
    hold.begin();
    gather.write_all(b"good-bye").await.unwrap();
    gather.shutdown().await.unwrap();
    assert_eq!(said(&gather), b"good-bye");
}

#[test]
fn a_line_that_takes_nothing_is_waited_for() {
    let (mut gather, hold) = gather(usize::MAX);
    let mut cx = Context::from_waker(Waker::noop());
    hold.begin();
    assert!(pin!(gather.write_all(b"held")).poll(&mut cx).is_ready());
    gather.inner.blocked = true;
    assert!(hold.end());
    assert!(pin!(gather.flush()).poll(&mut cx).is_pending());
    assert!(pin!(gather.write(&[b'x'; MOST])).poll(&mut cx).is_pending());
    gather.inner.blocked = false;
    assert!(pin!(gather.flush()).poll(&mut cx).is_ready());
    assert_eq!(said(&gather), b"held");
}

/// What is beneath may have taken a write and not have sent it: only a flush tells.
#[test]
fn a_flush_that_was_put_off_is_owed_until_there_was_one() {
    for length in [4, 2 * MOST] {
        let (mut gather, hold) = gather(usize::MAX);
        gather.inner.lazy = true;
        gather.inner.blocked = true;
        let mut cx = Context::from_waker(Waker::noop());
        hold.begin();
        assert!(pin!(gather.write_all(&vec![b'x'; length])).poll(&mut cx).is_ready());
        for _ in 0..2 {
            assert!(pin!(gather.flush()).poll(&mut cx).is_ready(), "{length}");
            assert!(hold.end(), "{length}");
            assert!(pin!(gather.flush()).poll(&mut cx).is_pending(), "{length}");
            hold.begin();
        }
        gather.inner.blocked = false;
        assert!(hold.end(), "{length}");
        assert!(pin!(gather.flush()).poll(&mut cx).is_ready(), "{length}");
        hold.begin();
        assert!(!hold.end(), "{length}");
        assert_eq!((said(&gather).len(), gather.inner.flushes), (length, 1));
    }
}
