use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::LocalSet;

use super::*;

/// The most that one turn may move: 128 operations, and what the last of them brings.
const TURN: usize = 128 * OPERATION + PIECE;
/// What moves at a time.
const PIECE: usize = 64 * 1024;
const WHOLE: usize = 16 * TURN;

/// Takes and gives whatever it is asked to, at once, and asks tokio for its leave once each time: a socket whose other
/// end always keeps up.
struct Ready(Rc<Cell<usize>>);

impl Ready {
    fn operation(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<usize> {
        let operation = std::task::ready!(coop::poll_proceed(cx));
        operation.made_progress();
        self.0.set(self.0.get() + bytes);
        Poll::Ready(bytes)
    }
}

impl AsyncRead for Ready {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.operation(cx, buf.remaining()).map(|bytes| {
            buf.initialize_unfilled_to(bytes);
            buf.advance(bytes);
            Ok(())
        })
    }
}

impl AsyncWrite for Ready {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.operation(cx, buf.len()).map(Ok)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How much `transfer` had moved each time another task had its turn.
async fn seen<F: Future<Output = ()> + 'static>(transfer: impl FnOnce(Socket<Ready>) -> F) -> Vec<usize> {
    let moved = Rc::new(Cell::new(0));
    let transfer = transfer(Socket::new(Ready(Rc::clone(&moved))));
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let transfer = tokio::task::spawn_local(transfer);
            let mut seen = Vec::new();
            while !transfer.is_finished() {
                tokio::task::yield_now().await;
                seen.push(moved.get());
            }
            seen
        })
        .await
}

#[track_caller]
fn gave_way(seen: &[usize]) {
    let most = seen.iter().scan(0, |before, now| Some(now - std::mem::replace(before, *now))).max();
    assert!(most.is_some_and(|most| most <= TURN), "one turn moved {most:?} bytes");
    assert_eq!(seen.last(), Some(&WHOLE), "all of it");
}

#[tokio::test]
async fn a_body_that_never_waits_gives_way_while_it_is_read() {
    let read = async |mut socket: Socket<Ready>| {
        let mut piece = vec![0; PIECE];
        for _ in 0..WHOLE / PIECE {
            assert_eq!(socket.read(&mut piece).await.unwrap(), PIECE);
        }
    };
    gave_way(&seen(read).await);
}

#[tokio::test]
async fn a_body_that_never_waits_gives_way_while_it_is_written() {
    let write = async |mut socket: Socket<Ready>| {
        for _ in 0..WHOLE / PIECE {
            socket.write_all(&vec![0; PIECE]).await.unwrap();
        }
    };
    gave_way(&seen(write).await);
}

#[tokio::test]
async fn a_writer_that_takes_no_for_an_answer_gives_way_all_the_same() {
    // As TLS does, which has room for what a socket refuses.
    let write = async |mut socket: Socket<Ready>| {
        let piece = vec![0; PIECE];
        poll_fn(|cx| {
            for _ in 0..100 {
                if socket.inner.0.get() == WHOLE {
                    return Poll::Ready(());
                }
                let _ = Pin::new(&mut socket).poll_write(cx, &piece);
            }
            Poll::Pending
        })
        .await;
    };
    gave_way(&seen(write).await);
}

#[tokio::test]
async fn who_reads_all_of_each_turn_still_writes() {
    let mut socket = Socket::new(Ready(Rc::default()));
    let tasks = LocalSet::new();
    let writing = async move {
        let mut piece = vec![0; PIECE];
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            while Pin::new(&mut socket).poll_read(cx, &mut ReadBuf::new(&mut piece)).is_ready() {}
            Pin::new(&mut socket).poll_write(cx, b"an answer").map(|written| assert_eq!(written.unwrap(), 9))
        })
        .await;
        turns
    };
    let turns = tokio::time::timeout(
        Duration::from_secs(10),
        tasks.run_until(async { tokio::task::spawn_local(writing).await }),
    );
    assert_eq!(turns.await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn what_was_read_too_much_comes_first() {
    let mut socket = Socket::after(Bytes::from_static(b"GET / "), &b"HTTP/1.1"[..]);
    let mut all = String::new();
    socket.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "GET / HTTP/1.1");
}
