use super::*;
use crate::token::testing::TestKey;

#[test]
fn the_algorithm_is_named_twice_and_the_same() {
    let certificate = TestKey::p256().certificate();
    let sound = Certificate::parse(certificate.der()).unwrap();
    assert_eq!(sound.algorithm, Some(CertificateAlgorithm::EcdsaSha256));
    // ecdsa-with-SHA256 becomes ecdsa-with-SHA384 in the outer name, which nobody signed.
    let name = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let mut other = certificate.der().to_vec();
    let outer = other.windows(8).rposition(|window| window == name).unwrap();
    other[outer + 7] = 3;
    assert_eq!(Certificate::parse(&other).unwrap().algorithm, None);
}

#[test]
fn nothing_may_stand_behind_a_certificate() {
    let mut longer = TestKey::p256().certificate().der().to_vec();
    longer.push(0);
    assert_eq!(Certificate::parse(&longer).err(), Some(CertificateError::Malformed));
}

#[test]
fn a_self_signed_certificate_issued_itself_only_if_it_may_issue() {
    let read = |certificate: rcgen::Certificate| Certificate::parse(certificate.der()).unwrap();
    let (leaf, root) = (read(TestKey::p256().certificate()), read(TestKey::p256().authority("root")));
    assert!(root.issued(&root, 0));
    assert!(!leaf.issued(&leaf, 0));
    assert!(root.is_authority() && !leaf.is_authority());
}
