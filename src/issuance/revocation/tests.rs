use super::*;
use crate::issuance::key::Keyer;

const DAY: Duration = Duration::from_secs(86_400);

fn keys(count: u8) -> Vec<Key> {
    let keyer = Keyer::new().unwrap();
    (0..count).map(|number| keyer.token(&[number])).collect()
}

#[test]
fn a_kill_ends_what_was_open_and_nothing_that_is_opened_later() {
    let (list, keys) = (KillList::new(8, DAY), keys(2));
    list.kill(keys[0], Timestamp(100)).unwrap();

    assert!(list.is_killed(&keys, Timestamp(99), Timestamp(101)));
    assert!(list.is_killed(&keys, Timestamp(100), Timestamp(101)));
    assert!(!list.is_killed(&keys, Timestamp(101), Timestamp(102)));
    assert!(!list.is_killed(&keys[1..], Timestamp(99), Timestamp(101)), "another credential's");
}

#[test]
fn a_second_kill_moves_the_moment_on_and_never_back() {
    let (list, keys) = (KillList::new(8, DAY), keys(1));
    list.kill(keys[0], Timestamp(200)).unwrap();
    list.kill(keys[0], Timestamp(100)).unwrap();
    assert!(list.is_killed(&keys, Timestamp(150), Timestamp(201)));
}

#[test]
fn a_kill_lives_as_long_as_the_longest_upload_and_is_then_forgotten() {
    let (list, keys) = (KillList::new(1, Duration::from_secs(10)), keys(2));
    list.kill(keys[0], Timestamp(100)).unwrap();
    list.sweep(Timestamp(110));
    assert!(list.is_killed(&keys[..1], Timestamp(100), Timestamp(110)));
    assert_eq!(list.moment(keys[0]), Some(Timestamp(100)));
    assert!(!list.is_killed(&keys[..1], Timestamp(100), Timestamp(111)));
    list.kill(keys[1], Timestamp(111)).unwrap();
    assert_eq!(list.moment(keys[0]), None);
    list.sweep(Timestamp(122));
    assert_eq!(list.moment(keys[1]), None);
}

#[test]
fn a_full_list_refuses_every_upload_that_is_open_and_none_that_is_opened_later() {
    let (list, keys) = (KillList::new(1, DAY), keys(3));
    list.kill(keys[0], Timestamp(100)).unwrap();

    assert_eq!(list.kill(keys[1], Timestamp(200)), Err(Full));

    assert!(list.is_killed(&keys[1..2], Timestamp(200), Timestamp(201)));
    assert!(list.is_killed(&keys[2..], Timestamp(200), Timestamp(201)), "nobody knows whom the lost entry meant");
    assert!(list.is_full_for(Timestamp(200), Timestamp(201)));
    assert!(!list.is_killed(&keys[2..], Timestamp(201), Timestamp(202)));
    assert_eq!(list.kill(keys[0], Timestamp(300)), Ok(()), "what is on the list already needs no room");
}

#[test]
fn a_lost_entry_counts_as_long_as_the_longest_upload_whatever_is_swept() {
    let (list, keys) = (KillList::new(0, Duration::from_secs(10)), keys(2));
    assert!(!list.is_full_for(Timestamp(100), Timestamp(100)));
    assert_eq!(list.kill(keys[0], Timestamp(100)), Err(Full));
    assert_eq!(list.kill(keys[0], Timestamp(99)), Err(Full));
    list.sweep(Timestamp(110));
    assert!(list.is_killed(&keys[1..], Timestamp(100), Timestamp(110)));
    list.sweep(Timestamp(111));
    assert!(!list.is_full_for(Timestamp(100), Timestamp(110)), "forgotten");
}
