use super::*;

fn line(text: &str, start: &str) -> Option<String> {
    text.lines().find(|line| line.starts_with(start)).map(str::to_owned)
}

#[test]
fn the_names_operators_rely_on_are_all_there() {
    let metrics = Metrics::new();
    metrics.rescue(Renew::Resign);
    metrics.upload_rescued();
    metrics.denied(DeniedReason::from(crate::token::verifier::TokenError::Key));
    metrics.token_request("gitlab", TokenResult::Issued);
    metrics.token_fetch("gitlab", Duration::from_millis(30));
    metrics.authority_clock("gitlab", -90);
    metrics.token_cache(CacheResult::Coalesced);
    metrics.registry_token(TokenSource::Minted);
    metrics.authorization_missing();
    metrics.limit_hit(Limit::Connections);
    metrics.malformed(Fault::Fold);
    metrics.origin_up("registry.example.com", "http://reg-1:5000", true);
    metrics.origin_request("registry.example.com", "http://reg-1:5000", StatusCode::CREATED);
    metrics.uploads_active(2);
    metrics.uploads_active(-1);
    metrics.connection_opened();
    metrics.certificate("registry.example.com", Timestamp(1_700_000_000));
    metrics.request_started();
    metrics.request_finished(&Finished {
        listener: Listener::Public,
        route: RouteKind::Upload,
        method: MethodLabel::Patch,
        status: Some(StatusCode::ACCEPTED),
        duration: Duration::from_secs(20),
        bytes_in: 5,
        bytes_out: 7,
    });
    let text = metrics.encode();
    for expected in [
        "tidegate_build_info{version=\"0.1.0\"} 1",
        "tidegate_http_requests_total{listener=\"public\",route=\"upload\",method=\"PATCH\",code=\"202\"} 1",
        "tidegate_http_request_duration_seconds_bucket{le=\"30.0\",route=\"upload\"} 1",
        "tidegate_http_request_duration_seconds_bucket{le=\"5.0\",route=\"upload\"} 0",
        "tidegate_http_request_bytes_total{route=\"upload\"} 5",
        "tidegate_http_response_bytes_total{route=\"upload\"} 7",
        "tidegate_http_requests_in_flight 0",
        "tidegate_connections 1",
        "tidegate_uploads_active 1",
        "tidegate_rescues_total{renew=\"resign\"} 1",
        "tidegate_rescues_total{renew=\"exchange\"} 0",
        "tidegate_uploads_rescued_total 1",
        "tidegate_token_requests_total{authority=\"gitlab\",result=\"issued\"} 1",
        "tidegate_token_fetch_duration_seconds_count{authority=\"gitlab\"} 1",
        "tidegate_authority_clock_offset_seconds{authority=\"gitlab\"} -90",
        "tidegate_token_cache_total{result=\"coalesced\"} 1",
        "tidegate_registry_tokens_total{source=\"minted\"} 1",
        "tidegate_denied_total{reason=\"key\"} 1",
        "tidegate_authorization_missing_total 1",
        "tidegate_limit_hits_total{limit=\"connections\"} 1",
        "tidegate_malformed_requests_total{fault=\"fold\"} 1",
        "tidegate_origin_up{site=\"registry.example.com\",origin=\"http://reg-1:5000\"} 1",
        "tidegate_origin_requests_total{site=\"registry.example.com\",origin=\"http://reg-1:5000\",code=\"201\"} 1",
        "tidegate_tls_certificate_not_after_timestamp_seconds{certificate=\"registry.example.com\"} 1700000000",
        "# EOF",
    ] {
        assert_eq!(line(&text, expected).as_deref(), Some(expected), "in:\n{text}");
    }
}

#[test]
fn a_client_that_left_before_an_answer_counts_as_499() {
    let metrics = Metrics::new();
    metrics.request_started();
    metrics.request_finished(&Finished {
        listener: Listener::Public,
        route: RouteKind::Blob,
        method: MethodLabel::Get,
        status: None,
        duration: Duration::ZERO,
        bytes_in: 0,
        bytes_out: 0,
    });
    assert!(metrics.encode().contains("route=\"blob\",method=\"GET\",code=\"499\"} 1"));
}

#[test]
fn names_past_the_bound_share_one_series() {
    let metrics = Metrics::new();
    for number in 0..MAX_NAMES + 10 {
        metrics.token_request(&format!("authority-{number}"), TokenResult::Issued);
    }
    let text = metrics.encode();
    assert_eq!(text.matches("tidegate_token_requests_total{").count(), MAX_NAMES + 1);
    assert!(text.contains("tidegate_token_requests_total{authority=\"other\",result=\"issued\"} 10"));
    assert!(text.contains("tidegate_limit_hits_total{limit=\"metric_names\"} 10"));
}
