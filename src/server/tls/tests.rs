use super::*;
use crate::base::tls::testing::certified;
use crate::telemetry::metrics::Metrics;

#[test]
fn both_http_versions_are_offered_and_nothing_is_taken_early() {
    let metrics = Arc::new(Metrics::new());
    let certificates = Certificates::new(&[certified(&["a.example"])], metrics).unwrap();
    let config = config(Arc::new(certificates)).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(config.max_early_data_size, 0);
    assert!(config.ticketer.enabled());
}
