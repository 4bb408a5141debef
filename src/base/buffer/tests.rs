use std::task::Waker;

use tokio::io::ReadBuf;

use super::*;

const SIZE: usize = 64;

fn stock() -> usize {
    STOCK.with(|stock| stock.borrow().len())
}

fn read(mut from: &[u8]) -> Bytes {
    let mut rest = Bytes::new();
    let polled = poll_read(&mut from, &mut Context::from_waker(Waker::noop()), SIZE, &mut rest, &mut None);
    assert!(matches!(polled, Poll::Ready(Ok(count)) if count == rest.len()), "{polled:?}");
    rest
}

#[test]
fn what_is_read_stands_behind_what_was_there() {
    let mut rest = Bytes::from_static(b"abc");
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(poll_read(&mut &[7; 2 * SIZE][..], cx, SIZE, &mut rest, &mut None), Poll::Ready(Ok(SIZE))));
    assert_eq!(rest, [&b"abc"[..], &[7; SIZE]].concat());
    assert!(matches!(poll_read(&mut &b"d"[..], cx, SIZE, &mut rest.split_to(2), &mut None), Poll::Ready(Ok(1))));
}

#[test]
fn a_buffer_comes_back_when_the_last_of_what_it_holds_is_gone() {
    let read = read(&[7; SIZE]);
    assert_eq!(stock(), 0);
    let part = read.slice(1..2);
    drop(read);
    assert_eq!(stock(), 0, "a part of it is still there");
    drop(part);
    assert_eq!(stock(), 1);
}

#[test]
fn a_few_bytes_hold_no_buffer() {
    let few = read(&[7; SIZE / 4]);
    assert_eq!((few.len(), stock()), (SIZE / 4, 1));
    assert_eq!((read(&[]).len(), stock()), (0, 1));
}

/// Bytes, then a failure that is told once, as a socket does.
struct Failing(Option<&'static [u8]>, Option<io::Error>);

impl AsyncRead for Failing {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(bytes) = self.0.take() {
            buf.put_slice(bytes);
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.1.take().map_or(Ok(()), Err))
    }
}

#[test]
fn a_failure_behind_bytes_is_not_forgotten() {
    let (mut io, cx) = (Failing(Some(b"part"), Some(io::ErrorKind::ConnectionReset.into())), Waker::noop());
    let (mut rest, mut failed, cx) = (Bytes::new(), None, &mut Context::from_waker(cx));
    assert!(matches!(poll_read(&mut io, cx, SIZE, &mut rest, &mut failed), Poll::Ready(Ok(4))));
    assert_eq!(rest, "part");
    let then = poll_read(&mut io, cx, SIZE, &mut rest, &mut failed);
    assert!(matches!(&then, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset), "{then:?}");
    assert!(matches!(poll_read(&mut io, cx, SIZE, &mut rest, &mut failed), Poll::Ready(Ok(0))));
}

#[test]
fn who_waits_holds_none_and_what_was_read_before_is_not_read_again() {
    let (mut ours, theirs) = tokio::io::duplex(SIZE);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut rest = Bytes::from_static(b"abc");
    assert!(poll_read(&mut ours, cx, SIZE, &mut rest, &mut None).is_pending());
    assert_eq!(rest, "abc");
    assert_eq!(stock(), 1);
    drop(theirs);
    drop(read(&[7; SIZE]));
    assert_eq!(read(&[1; 20]).as_ref(), [1; 20]);
}

#[test]
fn a_core_keeps_no_more_than_it_may_and_none_that_is_too_small() {
    drop((0..2 * KEPT).map(|_| read(&[7; SIZE])).collect::<Vec<_>>());
    assert_eq!(stock(), KEPT);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut larger = Bytes::new();
    assert!(matches!(poll_read(&mut &[7; 2 * SIZE][..], cx, 2 * SIZE, &mut larger, &mut None), Poll::Ready(Ok(_))));
    assert_eq!((larger.len(), stock()), (2 * SIZE, KEPT - 1));
}
