//! What anyone may say before there is a session: there is none, and what the client is told are whole records, the last of
//! them the alert if there is one, however it arrives.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tidegate::server::tls::accept::accept;

use super::line::Wire;
use super::shaken::ENDS;

const ALERT: u8 = 21;

/// The bytes are what a client says before it hangs up.
pub fn check(data: &[u8]) {
    for at_once in [usize::MAX, 4096, 7, 1] {
        let told = told(data, at_once);
        let alert = told.iter().position(|kind| *kind == ALERT);
        assert!(alert.is_none_or(|at| at + 1 == told.len()), "it goes on behind an alert: {told:?}");
    }
}

/// The kinds of records that a client is told (RFC 8446 §5.1).
fn told(data: &[u8], at_once: usize) -> Vec<u8> {
    let wire = Wire::new(at_once);
    wire.send(data);
    wire.cut();
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(accept(&ENDS.0[0], wire.clone(), 1 << 17)).poll(&mut cx) {
        // Without having seen a key of ours, nobody can finish.
        Poll::Ready(ended) => assert!(ended.is_err(), "a session"),
        Poll::Pending => panic!("it waits for a client that is gone"),
    }
    let (told, mut kinds, mut at) = (wire.hear(), Vec::new(), 0);
    while let Some([kind, _, _, high, low]) = told.get(at..at + 5) {
        kinds.push(*kind);
        at += 5 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    assert_eq!(at, told.len(), "half a record");
    kinds
}
