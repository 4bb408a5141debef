use std::future::poll_fn;

use super::*;

const HEAD: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(75);

/// How long until the wait is over, and which it was.
async fn check(watch: &mut Watch) -> (Duration, Expired) {
    let start = Instant::now();
    let expired = poll_fn(|cx| watch.poll_expired(cx)).await;
    (start.elapsed(), expired)
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_has_the_time_of_a_head() {
    let mut watch = Watch::new(Activity::new(HEAD, QUIET));
    assert_eq!(check(&mut watch).await, (HEAD, Expired::Silent));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_used_may_be_quiet_for_longer() {
    let activity = Activity::new(HEAD, QUIET);
    let mut watch = Watch::new(Arc::clone(&activity));
    drop(activity.begin());
    assert_eq!(check(&mut watch).await, (QUIET, Expired::Quiet));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_has_its_own_time_whatever_trickles_in() {
    let activity = Activity::new(HEAD, QUIET);
    let mut watch = Watch::new(Arc::clone(&activity));
    drop(activity.begin());
    tokio::time::advance(Duration::from_secs(30)).await;
    activity.heard();
    tokio::time::advance(Duration::from_secs(4)).await;
    activity.heard();
    assert_eq!(check(&mut watch).await, (Duration::from_secs(6), Expired::Head));
}

#[tokio::test(start_paused = true)]
async fn nothing_expires_while_a_request_or_one_of_its_bodies_is_busy() {
    let activity = Activity::new(HEAD, QUIET);
    let mut watch = Watch::new(Arc::clone(&activity));
    let answer = activity.begin();
    let body = answer.clone();
    drop(answer);
    activity.heard();
    let six_hours = Duration::from_secs(6 * 3600);
    assert!(tokio::time::timeout(six_hours, check(&mut watch)).await.is_err());
    drop(body);
    assert_eq!(check(&mut watch).await, (QUIET, Expired::Quiet));
}

#[tokio::test(start_paused = true)]
async fn it_is_quiet_since_the_last_part_of_an_answer_went_out() {
    let activity = Activity::new(HEAD, QUIET);
    let mut watch = Watch::new(Arc::clone(&activity));
    drop(activity.begin());
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(60)).await;
        activity.went_on();
    }
    assert_eq!(check(&mut watch).await, (QUIET, Expired::Quiet));
}
