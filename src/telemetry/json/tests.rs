use serde_json::Value;
use tracing::field::Empty;

use crate::base::clock::Timestamp;
use crate::telemetry::log::tests::capture;

#[test]
fn fields_of_every_kind_are_read_back_as_they_were() {
    let (captured, _guard) = capture();
    tracing::warn!(
        text = "tschüß",
        escaped = "a\"b\\c\nd\u{1}",
        yes = true,
        less = -1_i64,
        more = u64::MAX,
        half = 0.5,
        nothing = f64::NAN,
        left_out = Empty,
        absent = None::<u64>,
        shown = %"say \"so\"",
        debugged = ?Some("x"),
        "what happened"
    );
    let lines = captured.lines();
    let line = lines.first().unwrap().as_object().unwrap();
    let expected = [
        ("level", Value::from("WARN")),
        ("message", Value::from("what happened")),
        ("text", Value::from("tschüß")),
        ("escaped", Value::from("a\"b\\c\nd\u{1}")),
        ("yes", Value::from(true)),
        ("less", Value::from(-1)),
        ("more", Value::from(u64::MAX)),
        ("half", Value::from(0.5)),
        ("nothing", Value::Null),
        ("shown", Value::from("say \"so\"")),
        ("debugged", Value::from("Some(\"x\")")),
        ("target", Value::from("tidegate::telemetry::json::tests")),
    ];
    for (name, value) in &expected {
        assert_eq!(line.get(*name), Some(value), "{name}");
    }
    assert_eq!(line.len(), expected.len() + 1, "{line:?}");
}

#[test]
fn a_line_begins_with_its_time_and_ends_with_a_line_feed() {
    let (captured, _guard) = capture();
    tracing::info!("what happened");
    let text = captured.text();
    assert!(text.starts_with("{\"timestamp\":\"2"), "{text}");
    assert_eq!(text.find('\n'), Some(text.len() - 1));
}

#[test]
fn a_time_keeps_the_zeros_of_its_fraction_and_follows_the_second() {
    let rows = [
        ((0, 42), "1970-01-01T00:00:00.000042Z"),
        ((0, 0), "1970-01-01T00:00:00.000000Z"),
        ((1_798_761_599, 999_999), "2026-12-31T23:59:59.999999Z"),
        ((1_798_761_600, 100_000), "2027-01-01T00:00:00.100000Z"),
    ];
    for ((second, micros), expected) in rows {
        let mut line = String::from("at ");
        super::timestamp(&mut line, (Timestamp(second), micros));
        assert_eq!(line, format!("at {expected}"));
    }
}

#[test]
fn what_must_be_escaped_is_found_wherever_it_stands() {
    for character in (0..=0xff_u8).map(char::from) {
        let escaped = character < ' ' || matches!(character, '"' | '\\');
        for before in 0..20 {
            for around in ['!', '~', 'ÿ'] {
                let text = format!("{}{character}{around}", around.to_string().repeat(before));
                assert_eq!(super::is_plain(&text), !escaped, "{text:?}");
            }
        }
    }
}
