use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::issuance::key::Keyer;

const NOW: Timestamp = Timestamp(1_000);

fn held(life: u64) -> Arc<Held> {
    let life = Duration::from_secs(life);
    Arc::new(Held {
        body: Secret::new(br#"{"token":"t"}"#.to_vec()),
        expires_in: None,
        expires: NOW.plus(life),
        obtained: Instant::now(),
        life,
        subject: None,
        auth_type: None,
    })
}

fn refusal() -> Arc<Refusal> {
    Arc::new(Refusal { status: StatusCode::UNAUTHORIZED, headers: HeaderMap::new(), body: Bytes::from_static(b"no") })
}

fn keys() -> [Key; 3] {
    let keyer = Keyer::new().unwrap();
    [keyer.token(b"a"), keyer.token(b"b"), keyer.token(b"c")]
}

fn cache(negative_ttl: Duration) -> TokenCache {
    TokenCache::new(1 << 20, negative_ttl, Arc::new(Metrics::new()))
}

async fn has_token(cache: &TokenCache, key: Key, now: Timestamp) -> bool {
    matches!(cache.get(key, now).await, Some(Remembered::Token(_)))
}

#[tokio::test]
async fn a_token_is_remembered_until_its_end_by_the_wall_clock() {
    let ([key, ..], cache) = (keys(), cache(Duration::from_secs(5)));
    cache.hold(key, None, held(300)).await;
    assert!(has_token(&cache, key, NOW.plus(Duration::from_secs(299))).await);
    assert!(!has_token(&cache, key, NOW.plus(Duration::from_secs(300))).await);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_back_neither_lengthens_nor_revives_a_token() {
    let ([key, ..], cache) = (keys(), cache(Duration::from_secs(5)));
    let held = held(300);
    cache.hold(key, None, Arc::clone(&held)).await;
    let back = NOW.minus(Duration::from_secs(7_200));
    assert_eq!(held.remaining(back), 300);

    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!(held.remaining(back), 200);

    tokio::time::advance(Duration::from_secs(200)).await;
    assert!(!has_token(&cache, key, back).await);
}

#[tokio::test(start_paused = true)]
async fn a_denial_counts_for_seconds_by_either_clock() {
    let ([a, b, _], cache) = (keys(), cache(Duration::from_secs(5)));
    cache.deny(a, refusal(), NOW).await;
    cache.deny(b, refusal(), NOW).await;
    assert!(matches!(cache.get(a, NOW.plus(Duration::from_secs(4))).await, Some(Remembered::Denial(_))));
    assert!(cache.get(a, NOW.plus(Duration::from_secs(5))).await.is_none());

    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(cache.get(b, NOW).await.is_none());
}

#[tokio::test]
async fn without_a_negative_ttl_no_denial_is_remembered() {
    let ([key, ..], cache) = (keys(), cache(Duration::ZERO));
    cache.deny(key, refusal(), NOW).await;
    assert!(cache.get(key, NOW).await.is_none());
}

#[tokio::test]
async fn a_denial_takes_the_place_of_a_token() {
    let ([key, ..], cache) = (keys(), cache(Duration::from_secs(5)));
    cache.hold(key, None, held(300)).await;
    cache.deny(key, refusal(), NOW).await;
    assert!(matches!(cache.get(key, NOW).await, Some(Remembered::Denial(_))));
}

#[tokio::test]
async fn all_tokens_of_a_refused_credential_are_forgotten_and_no_others() {
    let ([a, b, c], cache) = (keys(), cache(Duration::from_secs(5)));
    let keyer = Keyer::new().unwrap();
    let (mine, theirs) = (keyer.credential("gitlab", Some(b"me")), keyer.credential("gitlab", Some(b"them")));
    cache.hold(a, Some(mine), held(300)).await;
    cache.hold(b, Some(mine), held(300)).await;
    cache.hold(c, Some(theirs), held(300)).await;

    cache.forget(mine).await;

    assert!(!has_token(&cache, a, NOW).await && !has_token(&cache, b, NOW).await);
    assert!(has_token(&cache, c, NOW).await);
}

#[tokio::test]
async fn a_token_that_replaced_another_is_still_forgotten_with_its_credential() {
    let ([key, ..], cache) = (keys(), cache(Duration::from_secs(5)));
    let mine = Keyer::new().unwrap().credential("gitlab", Some(b"me"));
    cache.hold(key, Some(mine), held(300)).await;
    cache.hold(key, Some(mine), held(300)).await;
    cache.entries.run_pending_tasks().await;

    cache.forget(mine).await;

    assert!(!has_token(&cache, key, NOW).await);
}

#[tokio::test]
async fn what_is_evicted_leaves_no_trace_in_the_index_and_is_counted() {
    let metrics = Arc::new(Metrics::new());
    let cache = TokenCache::new(4 * (OVERHEAD as u64 + 100), Duration::from_secs(5), Arc::clone(&metrics));
    let keyer = Keyer::new().unwrap();
    for number in 0..1_000u32 {
        let credential = keyer.credential("gitlab", Some(&number.to_be_bytes()));
        cache.hold(keyer.token(&number.to_be_bytes()), Some(credential), held(300)).await;
    }
    cache.entries.run_pending_tasks().await;
    assert!(cache.entries.entry_count() <= 4);
    assert_eq!(lock(&cache.by_credential).len() as u64, cache.entries.entry_count());
    let evicted = 1_000 - cache.entries.entry_count();
    assert!(metrics.encode().contains(&format!("tidegate_limit_hits_total{{limit=\"token_cache\"}} {evicted}\n")));
}
