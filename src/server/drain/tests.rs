use std::net::IpAddr;

use http::HeaderValue;

use super::*;
use crate::telemetry::labels::Listener;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::{Ending, Outcome};

const TIMEOUT: Duration = Duration::from_secs(600);

fn record(route: RouteKind) -> (Record, Ending) {
    let (head, ()) = http::Request::put("/").body(()).unwrap().into_parts();
    let mut outcome =
        Outcome::new(Listener::Public, &head, IpAddr::from([127, 0, 0, 1]), HeaderValue::from_static("r"));
    outcome.route = route;
    Record::begin(outcome, Arc::new(Metrics::new()))
}

/// How long leaving takes, and whether it ended quiet.
async fn check(drain: &Drain) -> (Duration, bool) {
    let start = Instant::now();
    let quiet = drain.leave().await;
    (start.elapsed(), quiet)
}

#[tokio::test(start_paused = true)]
async fn nothing_to_wait_for_is_no_wait_but_the_delay() {
    let delay = Duration::from_secs(15);
    assert_eq!(check(&Drain::new(delay, TIMEOUT)).await, (delay, true));
}

#[tokio::test(start_paused = true)]
async fn an_upload_between_two_of_its_requests_is_waited_for() {
    let drain = Drain::new(Duration::ZERO, TIMEOUT);
    drain.touched();
    let (record, _ending) = record(RouteKind::Upload);
    let client = tokio::spawn({
        let drain = drain.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let running = drain.running(record);
            tokio::time::sleep(Duration::from_secs(30)).await;
            drop(running);
        }
    });
    assert_eq!(check(&drain).await, (Duration::from_secs(4 + 30) + UPLOAD_PAUSE, true));
    client.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_no_upload_leaves_no_pause_behind() {
    let drain = Drain::new(Duration::ZERO, TIMEOUT);
    let (record, _ending) = record(RouteKind::Blob);
    let running = drain.running(record);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(running);
    });
    assert_eq!(check(&drain).await, (Duration::from_secs(30), true));
}

#[tokio::test(start_paused = true)]
async fn the_timeout_ends_the_wait() {
    let drain = Drain::new(Duration::from_secs(5), TIMEOUT);
    let (record, _ending) = record(RouteKind::Upload);
    let _running = drain.running(record);
    assert_eq!(check(&drain).await, (Duration::from_secs(5) + TIMEOUT, false));
    assert!(drain.report().hurried);
}

#[tokio::test(start_paused = true)]
async fn stages_are_told_one_after_the_other() {
    let drain = Drain::new(Duration::from_secs(5), TIMEOUT);
    let unwilling = drain.unwilling();
    let seen = |drain: &Drain| (drain.is_ready(), drain.is_draining(), unwilling.load(Ordering::Relaxed));
    let (record, _ending) = record(RouteKind::Upload);
    let running = drain.running(record);
    assert_eq!(seen(&drain), (true, false, false));
    let leaving = tokio::spawn({
        let drain = drain.clone();
        async move { drain.leave().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seen(&drain), (false, false, false));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(seen(&drain), (false, true, true));
    assert!(!drain.closing().is_cancelled());
    drop(running);
    assert!(leaving.await.unwrap());
    assert!(drain.closing().is_cancelled());
    assert_eq!(drain.stage(), Stage::Closed);
}
