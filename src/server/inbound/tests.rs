use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::*;
use crate::server::refused;
use crate::server::tests::channel;
use crate::telemetry::labels::Listener;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::{Ending, Outcome};

const IDLE: Duration = Duration::from_secs(60);

/// A body as the service gets it, and the client's end of it.
fn inbound(min_rate: u64) -> (Body, mpsc::Sender<Bytes>, Ending) {
    let (head, ()) = http::Request::put("/").body(()).unwrap().into_parts();
    let outcome = Outcome::new(Listener::Public, &head, IpAddr::from([127, 0, 0, 1]), HeaderValue::from_static("r"));
    let (record, ending) = Record::begin(outcome, Arc::new(Metrics::new()));
    let bounds = refused::Bounds { bytes: 1 << 20, time: Duration::from_secs(10) };
    let unread = Unread::new(bounds, Arc::clone(record.metrics()));
    let (sender, body) = channel();
    let bounds = Bounds { idle: IDLE, min_rate };
    (Body::wrap(Inbound::new(body, bounds, record, unread, None)), sender, ending)
}

async fn next(body: &mut Body) -> Option<Result<Bytes, String>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap()).map_err(|error| error.to_string()))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_sending_may_take_for_ever() {
    let (mut body, sender, ending) = inbound(0);
    let sending = tokio::spawn(async move {
        for _ in 0..1000 {
            tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
            sender.send(Bytes::from_static(b"12345678")).await.unwrap();
        }
    });
    while let Some(frame) = next(&mut body).await {
        frame.unwrap();
    }
    sending.await.unwrap();
    assert_eq!(ending.record().bytes_in(), 8000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_fails_its_body_for_good() {
    let (mut body, sender, ending) = inbound(0);
    sender.send(Bytes::from_static(b"x")).await.unwrap();
    next(&mut body).await.unwrap().unwrap();
    let start = Instant::now();
    assert_eq!(next(&mut body).await, Some(Err("the client stalled".to_owned())));
    assert_eq!(start.elapsed(), IDLE);
    assert!(ending.record().with(|outcome| outcome.failure.as_ref().is_some_and(|f| f.side == Side::Client)));
    assert!(sender.send(Bytes::from_static(b"late")).await.is_err(), "a failed body is read on");
}

#[tokio::test(start_paused = true)]
async fn a_slow_registry_is_not_the_clients_fault() {
    let (mut body, sender, _ending) = inbound(1_000_000);
    let sending = tokio::spawn(async move {
        for _ in 0..5 {
            sender.send(Bytes::from_static(b"x")).await.unwrap();
        }
    });
    for _ in 0..5 {
        next(&mut body).await.unwrap().unwrap();
        // Longer than any bound, but nobody waits for the client meanwhile.
        tokio::time::sleep(IDLE * 10).await;
    }
    sending.await.unwrap();
    assert!(next(&mut body).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_below_the_least_rate_gets_the_idle_time_and_what_its_bytes_earned() {
    let (mut body, sender, _ending) = inbound(10);
    tokio::spawn(async move {
        // Five bytes a second, half of what is asked.
        while sender.send(Bytes::from_static(b"12345")).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let start = Instant::now();
    let reading = async { while let Some(Ok(_)) = next(&mut body).await {} };
    tokio::time::timeout(IDLE * 10, reading).await.expect("it was never given up");
    let (least, most) = (Duration::from_secs(115), Duration::from_secs(125));
    assert!((least..most).contains(&start.elapsed()), "after {:?}", start.elapsed());
}
