use std::task::Waker;

use super::*;

const SIZE: usize = 64;

fn stock() -> usize {
    STOCK.with(|stock| stock.borrow().len())
}

fn read(mut from: &[u8]) -> Bytes {
    let mut rest = Bytes::new();
    let polled = poll_read(&mut from, &mut Context::from_waker(Waker::noop()), SIZE, &mut rest);
    assert!(matches!(polled, Poll::Ready(Ok(count)) if count == rest.len()), "{polled:?}");
    rest
}

#[test]
fn what_is_read_stands_behind_what_was_there() {
    let mut rest = Bytes::from_static(b"abc");
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(poll_read(&mut &[7; 2 * SIZE][..], cx, SIZE, &mut rest), Poll::Ready(Ok(SIZE))));
    assert_eq!(rest, [&b"abc"[..], &[7; SIZE]].concat());
    assert!(matches!(poll_read(&mut &b"d"[..], cx, SIZE, &mut rest.split_to(2)), Poll::Ready(Ok(1))));
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

#[test]
fn who_waits_holds_none_and_what_was_read_before_is_not_read_again() {
    let (mut ours, theirs) = tokio::io::duplex(SIZE);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut rest = Bytes::from_static(b"abc");
    assert!(poll_read(&mut ours, cx, SIZE, &mut rest).is_pending());
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
    assert!(matches!(poll_read(&mut &[7; 2 * SIZE][..], cx, 2 * SIZE, &mut larger), Poll::Ready(Ok(_))));
    assert_eq!((larger.len(), stock()), (2 * SIZE, KEPT - 1));
}
