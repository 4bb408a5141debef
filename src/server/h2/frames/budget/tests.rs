use super::*;

const PING: u8 = 0x6;

fn frame(kind: u8, length: u32) -> Frame {
    Frame { length, kind, flags: 0, stream: 1, code: None }
}

/// How many of these frames pass at one moment.
fn passing(budget: &mut Budget, frame: Frame, now: Instant) -> u32 {
    (0..1_000_000).take_while(|_| budget.came(frame, || now).is_ok()).count().try_into().unwrap()
}

#[test]
fn who_only_talks_has_a_burst_and_then_what_time_earns() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    assert_eq!(passing(&mut budget, frame(PING, 8), start), 500);
    assert_eq!(passing(&mut budget, frame(PING, 8), start + Duration::from_secs(2)), 200);
    assert_eq!(passing(&mut budget, frame(PING, 8), start + Duration::from_secs(3600)), 500);
}

#[test]
fn a_client_that_reads_an_answer_may_acknowledge_each_4_kib_twice() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    for _ in 0..100_000 {
        budget.carried(4096);
        for _ in 0..2 {
            assert_eq!(budget.came(frame(0x8, 4), || start), Ok(()));
        }
    }
}

#[test]
fn what_was_on_its_way_may_be_acknowledged_at_once() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    budget.carried(16 << 20);
    assert!(passing(&mut budget, frame(0x8, 4), start) >= 2 * (16 << 20) / 4096);
}

#[test]
fn saved_frames_are_bounded() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    budget.carried(1 << 40);
    assert_eq!(passing(&mut budget, frame(PING, 8), start), SAVED);
}

#[test]
fn an_upload_in_frames_of_any_size_costs_nothing() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    assert_eq!(passing(&mut budget, frame(DATA, 1), start), 1_000_000);
}

#[test]
fn data_without_data_is_talk_unless_it_ends_the_stream() {
    let start = Instant::now();
    assert_eq!(passing(&mut Budget::new(start), frame(DATA, 0), start), 500);
    let last = Frame { flags: END_STREAM, ..frame(DATA, 0) };
    assert_eq!(passing(&mut Budget::new(start), last, start), 1_000_000);
}

#[test]
fn a_request_that_is_taken_back_costs_more_than_it_earned() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    let both = |budget: &mut Budget| {
        budget.came(frame(HEADERS, 20), || start).is_ok() && budget.came(frame(RST_STREAM, 4), || start).is_ok()
    };
    let taken_back = (0..10_000).take_while(|_| both(&mut budget)).count();
    assert_eq!(taken_back, 100);
}
