use super::*;
use crate::base::tls::testing::certified;

fn named(lists: &[&[&str]]) -> (Named, Vec<Arc<CertifiedKey>>) {
    let keys: Vec<_> = lists.iter().map(|names| certified(names)).collect();
    (Named::read(&keys, &Metrics::new()).unwrap(), keys)
}

fn check(named: &Named, name: &str, expected: Option<&Arc<CertifiedKey>>) {
    let found = named.of(name).first();
    assert!(found.map(Arc::as_ptr) == expected.map(Arc::as_ptr), "another certificate answers for {name}");
}

#[test]
fn a_name_gets_its_own_certificate_before_a_wildcards() {
    let (named, keys) = named(&[&["first.example"], &["*.example.com", "example.com"], &["registry.example.com"]]);
    check(&named, "registry.example.com", Some(&keys[2]));
    check(&named, "REGISTRY.Example.COM", Some(&keys[2]));
    check(&named, "other.example.com", Some(&keys[1]));
    check(&named, "example.com", Some(&keys[1]));
}

#[test]
fn a_wildcard_stands_for_one_label_only() {
    let (named, _) = named(&[&["*.example.com"]]);
    check(&named, "a.b.example.com", None);
    check(&named, "example.com", None);
    check(&named, "aexample.com", None);
}

#[test]
fn certificates_that_cannot_be_served_leave_the_old_ones_in_place() {
    let metrics = Arc::new(Metrics::new());
    let certificates = Certificates::new(&[certified(&["registry.example.com"])], Arc::clone(&metrics)).unwrap();
    assert!(matches!(certificates.replace(&[]), Err(Error::NoCertificate)));
    assert!(!certificates.current.load().of("registry.example.com").is_empty());
    certificates.replace(&[certified(&["new.example.com"])]).unwrap();
    assert!(certificates.current.load().of("registry.example.com").is_empty());
    assert!(metrics.encode().contains("not_after_timestamp_seconds{certificate=\"new.example.com\"}"));
}
