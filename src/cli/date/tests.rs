use proptest::prelude::*;

use super::*;

#[test]
fn moments_are_written_as_others_write_them() {
    // From `date -u -d @SECONDS +%FT%TZ`.
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_798_761_600, "2027-01-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(Timestamp(seconds).to_string(), text);
        assert_eq!(parse(text), Ok(Timestamp(seconds)));
    }
}

#[test]
fn moments_are_read_with_an_offset_or_as_seconds() {
    assert_eq!(parse("1800000000"), Ok(Timestamp(1_800_000_000)));
    assert_eq!(parse("2027-01-01T01:30:00+01:30"), Ok(Timestamp(1_798_761_600)));
    assert_eq!(parse("2027-01-01 00:00:00.9Z"), Ok(Timestamp(1_798_761_600)));
    for bad in ["", "now", "2027-01-01", "2027-01-01T00:00:00", "2027-13-01T00:00:00Z", "2027-02-30T00:00:00Z"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_span_has_its_two_largest_units() {
    for (seconds, text) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (-125, "2 min 5 s"),
        (3601, "1 h"),
        (90_061, "1 d 1 h"),
    ] {
        assert_eq!(span(seconds), text);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(seconds in 0_i64..253_402_300_800) {
        prop_assert_eq!(parse(&Timestamp(seconds).to_string()), Ok(Timestamp(seconds)));
    }
}
