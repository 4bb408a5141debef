use proptest::prelude::*;

use super::*;
use crate::authority::testing::Fields;

fn headers(fields: Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

#[test]
fn a_date_is_read_in_each_form_it_may_have_and_in_no_other() {
    // RFC 9110 §5.6.7 has all three.
    let moment = Some(Timestamp(784_111_777));
    let table: [(Fields, Option<Timestamp>); 13] = [
        (&[("date", "Sun, 06 Nov 1994 08:49:37 GMT")], moment),
        (&[("date", "Sunday, 06-Nov-94 08:49:37 GMT")], moment),
        (&[("date", "Sun Nov  6 08:49:37 1994")], moment),
        (&[], None),
        (&[("date", "")], None),
        (&[("date", "now")], None),
        (&[("date", "784111777")], None),
        (&[("date", "1994-11-06T08:49:37Z")], None),
        (&[("date", "Mon, 06 Nov 1994 08:49:37 GMT")], None),
        (&[("date", "Sun, 06 Nov 1994 08:49:37 CET")], None),
        (&[("date", "Wed, 31 Dec 1969 23:59:59 GMT")], None),
        (&[("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")], None),
        (&[("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("age", "3")], None),
    ];
    for (fields, expected) in table {
        assert_eq!(of(&headers(fields)), expected, "{fields:?}");
    }
}

#[test]
fn only_what_round_trip_and_resolution_leave_certain_counts_as_a_difference() {
    let now = 1_800_000_000;
    // `Date`, milliseconds past `now` at which the answer came, milliseconds it took; how far its clock is ahead.
    let table: [(i64, u32, u64, i64); 17] = [
        // At the same time.
        (now, 0, 0, 0),
        (now, 500, 0, 0),
        (now, 999, 0, 0),
        // The second may have changed on the way.
        (now - 1, 0, 0, 0),
        (now - 1, 30, 50, 0),
        // Ahead: its second has begun.
        (now + 1, 0, 0, 1000),
        (now + 5, 0, 0, 5000),
        (now + 6, 999, 0, 5001),
        (now + 600, 0, 0, 600_000),
        // It was written when the answer came, or earlier: then it is ahead by more.
        (now + 600, 0, 3000, 600_000),
        // Behind: its second has ended.
        (now - 2, 0, 0, -1000),
        (now - 6, 0, 0, -5000),
        (now - 6, 1, 0, -5001),
        (now - 601, 0, 0, -600_000),
        // It may have been written when it was asked: what it took is no difference.
        (now - 601, 0, 3000, -597_000),
        (now - 10, 0, 9000, 0),
        (now - 11, 0, 9000, -1000),
    ];
    for (date, millis, took, expected) in table {
        let answered = (Timestamp(now), millis * 1000);
        let found = ahead(Timestamp(date), answered, Duration::from_millis(took));
        assert_eq!(found, expected, "{} s, {millis} ms, {took} ms", date - now);
    }
}

proptest! {
    #[test]
    fn an_answer_of_a_clock_that_goes_right_is_never_a_difference(
        asked in 0_i64..4_000_000_000_000, until_written in 0_i64..20_000, until_answered in 0_i64..20_000,
    ) {
        let (written, answered) = (asked + until_written, asked + until_written + until_answered);
        let took = Duration::from_millis((answered - asked).unsigned_abs());
        let heard = (Timestamp(answered / 1000), u32::try_from(answered % 1000 * 1000).unwrap());
        prop_assert_eq!(ahead(Timestamp(written / 1000), heard, took), 0);
    }

    #[test]
    fn no_number_is_too_large(date: i64, second: i64, micros in 0_u32..1_000_000, took: u64) {
        let found = ahead(Timestamp(date), (Timestamp(second), micros), Duration::from_millis(took));
        prop_assert!(found == 0 || (found > 0) == (date > second));
    }

    #[test]
    fn what_is_read_is_the_moment_that_was_written(
        changed in proptest::collection::vec((0_usize..29, prop_oneof![any::<u8>(), b'0'..=b'9']), 0..3),
    ) {
        let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        for (at, by) in changed {
            text[at] = by;
        }
        let value = http::HeaderValue::from_bytes(&text);
        let read = value.ok().and_then(|value| of(&HeaderMap::from_iter([(DATE, value)])));
        if let Some(Timestamp(seconds)) = read {
            let written = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()));
            prop_assert_eq!(written.as_bytes(), text);
        }
    }
}
