use super::*;

fn growth(mebibytes: usize) -> (Growth, Arc<Semaphore>) {
    let shared = Arc::new(Semaphore::new(mebibytes));
    (Growth::new(Arc::clone(&shared)), shared)
}

/// A round trip in which as much passed as the stream's window holds.
fn full(growth: &mut Growth) -> Option<u32> {
    let passed = u64::from(growth.windows.stream);
    growth.measured(growth.measured + passed, passed).map(|windows| windows.stream / MEBI)
}

#[tokio::test(start_paused = true)]
async fn a_window_that_holds_the_line_up_grows_to_its_bound() {
    let (mut growth, _shared) = growth(GROWTH);
    // The round trip behind each growth is the old window's.
    assert_eq!([full(&mut growth), full(&mut growth), full(&mut growth)], [Some(8), None, Some(64)]);
    assert!(!growth.is_worth_asking(growth.measured + WORTH), "there is nothing left to grow");
    assert_eq!(growth.windows.connection, LARGEST + WINDOW.connection);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_was_not_filled_since_it_grew_does_not_grow_again() {
    let (mut growth, _shared) = growth(GROWTH);
    assert_eq!(full(&mut growth), Some(8));
    assert!(growth.is_worth_asking(growth.measured), "the client may not have heard of it");
    assert_eq!(full(&mut growth), None);
    assert!(!growth.is_worth_asking(growth.measured), "nothing came since");
    let little = u64::from(WINDOW.stream);
    assert_eq!(growth.measured(growth.measured + little, little), None);
    assert_eq!(growth.windows.stream / MEBI, 8);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_not_held_up_is_asked_less_and_less() {
    let (mut growth, _shared) = growth(GROWTH);
    let mut waited = Vec::new();
    let mut taken = 0;
    for _ in 0..9 {
        taken += WORTH;
        assert!(growth.is_worth_asking(taken));
        assert_eq!(growth.measured(taken, WORTH), None);
        taken += WORTH;
        let began = Instant::now();
        while !growth.is_worth_asking(taken) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        waited.push(began.elapsed().as_millis() / 100);
    }
    assert_eq!(waited, [1, 2, 4, 8, 10, 10, 10, 10, 10]);
    assert_eq!(growth.windows, WINDOW);
    // What passes later is as good a reason as ever.
    let windows = growth.measured(taken + u64::from(WINDOW.stream), u64::from(WINDOW.stream)).unwrap();
    assert_eq!(windows.stream, FACTOR * WINDOW.stream);
}

#[tokio::test(start_paused = true)]
async fn little_is_not_worth_asking() {
    let (growth, _shared) = growth(GROWTH);
    assert!(!growth.is_worth_asking(WORTH - 1));
    assert!(growth.is_worth_asking(WORTH));
}

#[tokio::test(start_paused = true)]
async fn all_windows_share_what_they_grow_by_and_give_it_back() {
    let (mut first, shared) = growth(56 * PART + 8);
    let mut second = Growth::new(Arc::clone(&shared));
    // 8 + 56 MiB are one connection's, and of what is left the other has no more than a quarter.
    assert_eq!([full(&mut first), full(&mut first), full(&mut first)], [Some(8), None, Some(64)]);
    assert_eq!(shared.available_permits(), 56 * (PART - 1));
    assert_eq!([full(&mut second), full(&mut second), full(&mut second)], [Some(8), None, None]);
    assert_eq!(second.windows.stream / MEBI, 8, "it grew by more than its part");
    drop(first);
    assert_eq!(full(&mut second), Some(64));
    drop(second);
    assert_eq!(shared.available_permits(), 56 * PART + 8);
}
