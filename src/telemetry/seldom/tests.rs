use std::sync::atomic::AtomicUsize;

use super::*;

#[tokio::test(start_paused = true)]
async fn it_is_due_at_once_and_then_once_a_minute() {
    let seldom = Seldom::new();
    assert!(seldom.due());
    assert!(!seldom.due());
    tokio::time::advance(QUIET - Duration::from_millis(1)).await;
    assert!(!seldom.due());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(seldom.due());
    assert!(!seldom.due());
}

#[tokio::test(start_paused = true)]
async fn a_long_silence_saves_nothing_up() {
    let seldom = Seldom::new();
    tokio::time::advance(10 * QUIET).await;
    assert!(seldom.due());
    assert!(!seldom.due());
}

#[test]
fn of_many_threads_one_is_told() {
    let (seldom, told) = (Seldom::new(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| told.fetch_add(usize::from(seldom.due()), Ordering::Relaxed));
        }
    });
    assert_eq!(told.into_inner(), 1);
}
