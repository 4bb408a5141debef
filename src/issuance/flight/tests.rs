use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::issuance::key::Keyer;

fn key(of: &str) -> Key {
    Keyer::new().unwrap().token(of.as_bytes())
}

#[tokio::test]
async fn fifty_who_ask_together_share_one_fetch() {
    let flights = Arc::new(Flights::new(Handle::current()));
    let (fetches, gate, key) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), key("a"));
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let (flights, fetches, gate) = (Arc::clone(&flights), Arc::clone(&fetches), Arc::clone(&gate));
            tokio::spawn(async move {
                let fetch = || async move {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    7
                };
                flights.join(key, fetch).await
            })
        })
        .collect();
    tokio::task::yield_now().await;

    gate.notify_one();

    let mut led = 0;
    for task in waiting {
        let (value, part) = task.await.unwrap();
        assert_eq!(value, Some(7));
        led += usize::from(part == Part::Led);
    }
    assert_eq!((fetches.load(Ordering::SeqCst), led), (1, 1));
}

#[tokio::test]
async fn a_leader_that_hangs_up_fails_no_follower() {
    let flights = Arc::new(Flights::new(Handle::current()));
    let (fetches, gate, key) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), key("a"));
    let fetch = |fetches: Arc<AtomicUsize>, gate: Arc<Notify>| async move {
        fetches.fetch_add(1, Ordering::SeqCst);
        gate.notified().await;
        7
    };
    let leader = tokio::spawn({
        let (flights, fetches, gate) = (Arc::clone(&flights), Arc::clone(&fetches), Arc::clone(&gate));
        async move { flights.join(key, || fetch(fetches, gate)).await }
    });
    while fetches.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let followers: Vec<_> = (0..50)
        .map(|_| {
            let (flights, fetches, gate) = (Arc::clone(&flights), Arc::clone(&fetches), Arc::clone(&gate));
            tokio::spawn(async move { flights.join(key, || fetch(fetches, gate)).await })
        })
        .collect();
    tokio::task::yield_now().await;

    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    gate.notify_one();

    for follower in followers {
        assert_eq!(follower.await.unwrap(), (Some(7), Part::Followed));
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_fetch_that_panics_wakes_its_waiters_and_makes_room_for_the_next() {
    let flights = Flights::<u8>::new(Handle::current());
    let key = key("a");

    let (value, _) = flights.join(key, || async { panic!("the fetch died") }).await;
    assert_eq!(value, None);

    let (value, part) = flights.join(key, || async { 7 }).await;
    assert_eq!((value, part), (Some(7), Part::Led));
}

#[tokio::test]
async fn two_keys_are_two_fetches() {
    let flights = Flights::new(Handle::current());
    assert_eq!(flights.join(key("a"), || async { 1 }).await, (Some(1), Part::Led));
    assert_eq!(flights.join(key("b"), || async { 2 }).await, (Some(2), Part::Led));
}

#[tokio::test]
async fn a_fetch_that_ended_is_not_joined_again() {
    let flights = Flights::new(Handle::current());
    let key = key("a");
    assert_eq!(flights.join(key, || async { 1 }).await, (Some(1), Part::Led));
    assert_eq!(flights.join(key, || async { 2 }).await, (Some(2), Part::Led));
}
