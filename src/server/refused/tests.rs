use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::server::tests::channel;

const BOUNDS: Bounds = Bounds { bytes: 100, time: Duration::from_secs(10) };

#[tokio::test]
async fn a_body_within_the_bounds_is_read_to_its_end() {
    assert_eq!(drain(Body::full(vec![0; 100]), BOUNDS).await, None);
    assert_eq!(drain(Body::empty(), BOUNDS).await, None);
}

#[tokio::test]
async fn a_body_is_given_up_at_the_bound_of_bytes() {
    assert_eq!(drain(Body::full(vec![0; 101]), BOUNDS).await, Some(Limit::DrainBytes));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_given_up_at_the_bound_of_time() {
    let (sender, body) = channel();
    tokio::spawn(async move {
        while sender.send(Bytes::from_static(b"x")).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let start = Instant::now();
    assert_eq!(drain(body, BOUNDS).await, Some(Limit::DrainTime));
    assert_eq!(start.elapsed(), BOUNDS.time);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_before_the_answer_is_out() {
    let unread = Unread::new(BOUNDS, Arc::new(Metrics::new()));
    let (sender, body) = channel();
    unread.give(body, None);
    sender.send(Bytes::from_static(b"fills the channel")).await.unwrap();
    let second = sender.send(Bytes::from_static(b"waits for a reader"));
    assert!(tokio::time::timeout(Duration::from_secs(5), second).await.is_err());
    unread.answered();
    sender.send(Bytes::from_static(b"is read")).await.unwrap();
}

#[tokio::test]
async fn a_body_given_up_after_the_answer_is_read_at_once() {
    let unread = Unread::new(BOUNDS, Arc::new(Metrics::new()));
    let (sender, body) = channel();
    unread.answered();
    unread.give(body, None);
    for _ in 0..3 {
        sender.send(Bytes::from_static(b"is read")).await.unwrap();
    }
}

#[tokio::test]
async fn a_body_whose_request_was_abandoned_is_dropped() {
    let unread = Unread::new(BOUNDS, Arc::new(Metrics::new()));
    let (sender, body) = channel();
    unread.give(body, None);
    drop(unread);
    assert!(sender.send(Bytes::from_static(b"x")).await.is_err());
}
