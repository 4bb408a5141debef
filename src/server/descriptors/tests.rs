use super::*;

#[test]
fn the_default_needs_no_more_than_is_documented() {
    assert_eq!(needed(10_000), 20_064);
    assert_eq!(connections(20_064), 10_000);
}

#[test]
fn few_descriptors_are_few_connections_and_never_none() {
    assert_eq!(connections(1024), 480);
    assert_eq!(connections(256), 96);
    assert_eq!(connections(20), 1);
}

#[test]
fn what_the_hard_limit_allows_is_taken() {
    assert_eq!(raise(), most());
}
