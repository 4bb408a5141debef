use super::*;

fn growth(mebibytes: usize) -> (Growth, Arc<Semaphore>) {
    let shared = Arc::new(Semaphore::new(mebibytes));
    (Growth::new(Arc::clone(&shared)), shared)
}

#[tokio::test(start_paused = true)]
async fn a_window_that_holds_the_line_up_grows_to_its_bound() {
    let (mut growth, _shared) = growth(GROWTH);
    let mut taken = 0;
    let mut grown = Vec::new();
    while growth.is_worth_asking(taken + WORTH) {
        let passed = u64::from(growth.windows.stream);
        taken += passed;
        grown.push(growth.measured(taken, passed).unwrap().stream / MEBI);
    }
    assert_eq!(grown, [4, 16, 64]);
    assert_eq!(growth.windows.connection, LARGEST + WINDOW.connection);
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
    assert_eq!(waited, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
    assert_eq!(growth.windows, WINDOW);
    // What passes later is as good a reason as ever.
    let windows = growth.measured(taken + u64::from(WINDOW.stream), u64::from(WINDOW.stream)).unwrap();
    assert_eq!(windows.stream, 4 * WINDOW.stream);
}

#[tokio::test(start_paused = true)]
async fn little_is_not_worth_asking() {
    let (growth, _shared) = growth(GROWTH);
    assert!(!growth.is_worth_asking(WORTH - 1));
    assert!(growth.is_worth_asking(WORTH));
}

#[tokio::test(start_paused = true)]
async fn all_windows_share_what_they_grow_by_and_give_it_back() {
    let (mut first, shared) = growth(20);
    let mut second = Growth::new(Arc::clone(&shared));
    let passed = |growth: &Growth| u64::from(growth.windows.stream);
    // 4 + 12 MiB are one connection's, and 4 are left.
    for _ in 0..2 {
        assert!(first.measured(0, passed(&first)).is_some());
    }
    assert!(second.measured(0, passed(&second)).is_some());
    assert_eq!((first.windows.stream / MEBI, second.windows.stream / MEBI, shared.available_permits()), (16, 4, 0));
    assert_eq!(first.measured(0, passed(&first)), None);
    assert_eq!(second.measured(0, passed(&second)), None);
    assert_eq!(second.windows.stream / MEBI, 4, "it grew by what it has no share of");
    drop(first);
    assert!(second.measured(0, passed(&second)).is_some());
    drop(second);
    assert_eq!(shared.available_permits(), 20);
}
