use serde_json::Value;

use super::*;
use crate::telemetry::log::tests::Captured;
use crate::telemetry::log::{Format, Settings, subscriber};

const CANARY: &str = "c4n4ry";

fn outcome(target: &str) -> Outcome {
    let request = http::Request::builder()
        .method(Method::PATCH)
        .uri(target)
        .header("user-agent", "docker/28.0")
        .header("authorization", format!("Bearer {CANARY}"))
        .body(())
        .unwrap();
    let (head, ()) = request.into_parts();
    Outcome::new(Listener::Public, &head, IpAddr::from([192, 0, 2, 7]), HeaderValue::from_static("req-1"))
}

/// Runs a request's life and gives back its lines and the metrics' text.
fn lines(outcome: Outcome, live: impl FnOnce(&Record, Ending)) -> (Vec<Value>, String) {
    let captured = Captured::default();
    let settings = Settings { format: Format::Json, level: "info".to_owned() };
    let metrics = Arc::new(Metrics::new());
    tracing::subscriber::with_default(subscriber(&settings, captured.clone(), false).unwrap(), || {
        let (record, ending) = Record::begin(outcome, Arc::clone(&metrics));
        live(&record, ending);
    });
    (captured.lines(), metrics.encode())
}

#[test]
fn a_request_is_one_line_with_the_fields_operators_rely_on() {
    let (lines, metrics) = lines(outcome("/v2/a/b/blobs/uploads/u-1"), |record, ending| {
        record.with(|outcome| {
            outcome.site = Some(Arc::from("registry.example.com"));
            outcome.route = RouteKind::Upload;
            outcome.subject = Some("alice".to_owned());
            outcome.auth_type = Some("gitlab_or_ldap".to_owned());
            outcome.token_age = Some(380);
            outcome.token_left = Some(-80);
            outcome.origin = Some(Arc::from("http://reg-1:5000"));
        });
        record.rescued(Renew::Resign);
        record.received(1000);
        record.received(24);
        record.answered(StatusCode::ACCEPTED);
        record.sent(7);
        ending.complete();
        drop(ending);
    });
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    for (field, value) in [
        ("target", Value::from("tidegate::access")),
        ("listener", "public".into()),
        ("site", "registry.example.com".into()),
        ("route", "upload".into()),
        ("method", "PATCH".into()),
        ("path", "/v2/a/b/blobs/uploads/u-1".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status", 202.into()),
        ("subject", "alice".into()),
        ("auth_type", "gitlab_or_ldap".into()),
        ("token_age_s", 380.into()),
        ("token_left_s", (-80).into()),
        ("rescued", true.into()),
        ("renew", "resign".into()),
        ("origin", "http://reg-1:5000".into()),
        ("request_id", "req-1".into()),
        ("client", "192.0.2.7".into()),
        ("user_agent", "docker/28.0".into()),
        ("bytes_in", 1024.into()),
        ("bytes_out", 7.into()),
        ("ttfb_ms", 0.into()),
        ("body_ms", 0.into()),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert!(line.get("error").is_none() && line.get("denied").is_none(), "{line}");
    assert!(metrics.contains("tidegate_rescues_total{renew=\"resign\"} 1"));
    assert!(metrics.contains("route=\"upload\",method=\"PATCH\",code=\"202\"} 1"));
    assert!(metrics.contains("tidegate_http_requests_in_flight 0"));
}

#[test]
fn neither_the_query_nor_the_authorization_is_written() {
    let target = format!("https://u:{CANARY}@host/v2/a/blobs/uploads/u-1?_state={CANARY}&_tidegate={CANARY}#{CANARY}");
    let (lines, _) = lines(outcome(&target), |_, ending| drop(ending));
    assert_eq!(lines[0]["path"], "/v2/a/blobs/uploads/u-1");
    assert!(!lines[0].to_string().contains(CANARY), "{}", lines[0]);
}

#[test]
fn an_answer_cut_short_is_the_clients_doing_unless_something_was_noted() {
    let (ours, _) = lines(outcome("/v2/"), |_, ending| drop(ending));
    assert_eq!(ours[0]["error_side"], "client");
    assert!(ours[0].get("status").is_none());
    let (theirs, _) = lines(outcome("/v2/"), |record, ending| {
        record.failed(Side::Upstream, "the registry hung up");
        record.failed(Side::Gateway, "a consequence");
        drop(ending);
    });
    assert_eq!(theirs[0]["error_side"], "upstream");
    assert_eq!(theirs[0]["error"], "the registry hung up");
}

#[test]
fn a_denial_is_noted_and_counted_once() {
    let (lines, metrics) = lines(outcome("/v2/"), |record, ending| {
        record.denied(DeniedReason::Lapsed);
        ending.complete();
        drop(ending);
    });
    assert_eq!(lines[0]["denied"], "lapsed");
    assert!(metrics.contains("tidegate_denied_total{reason=\"lapsed\"} 1"));
}

#[test]
fn what_a_stranger_chose_is_bounded_and_escaped() {
    let long = "é".repeat(400);
    assert_eq!(bounded("plain/path-1", 20), "plain/path-1");
    assert_eq!(bounded("a\u{7f}b\u{9b}", 40), "a\\u{7f}b\\u{9b}");
    assert!(bounded(&long, 256).len() <= 256 + '…'.len_utf8());
    assert!(bounded("\u{1}\u{1}\u{1}", 8).starts_with("\\u{1}…"));
    assert_eq!(bounded_bytes(b"a\xffb"), "a\u{fffd}b");
}

#[test]
fn a_field_that_cannot_be_text_does_not_break_the_line() {
    let mut outcome = outcome("/v2/");
    outcome.user_agent = Some(HeaderValue::from_bytes(b"\xf0\x9f\x92 evil\xff").unwrap());
    outcome.subject = Some("a\u{1b}[2J\nb".to_owned());
    let (lines, _) = lines(outcome, |_, ending| drop(ending));
    assert_eq!(lines[0]["subject"], "a\\u{1b}[2J\\u{a}b");
}
