use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::*;
use crate::telemetry::metrics::Metrics;

/// A self-signed certificate for `names`.
pub(in crate::server) fn certified(names: &[&str]) -> Arc<CertifiedKey> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = aws_lc_rs::sign::any_supported_type(&der).unwrap();
    Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))
}

#[test]
fn both_http_versions_are_offered_and_nothing_is_taken_early() {
    let metrics = Arc::new(Metrics::new());
    let certificates = Certificates::new(&[certified(&["a.example"])], metrics).unwrap();
    let config = config(Arc::new(certificates)).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(config.max_early_data_size, 0);
    assert!(config.ticketer.enabled());
}
