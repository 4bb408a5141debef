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

/// A self-signed certificate under another digest than the library's tests can choose.
fn signed_by_openssl(key: &TestKey, digest: &str) -> Certificate {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key.private_pem()).unwrap();
    let arguments = ["req", "-x509", "-new", "-subj", "/CN=x", "-outform", "DER", digest, "-key"];
    let output = std::process::Command::new("openssl").args(arguments).arg(file.path()).output().unwrap();
    Certificate::parse(&output.stdout).unwrap()
}

#[test]
fn a_certificate_is_checked_with_the_algorithm_that_it_names() {
    use CertificateAlgorithm::{EcdsaSha256, EcdsaSha384, RsaSha256, RsaSha384, RsaSha512};
    for (key, digest, algorithm) in [
        (TestKey::trusted(), "-sha256", Some(RsaSha256)),
        (TestKey::trusted(), "-sha384", Some(RsaSha384)),
        (TestKey::trusted(), "-sha512", Some(RsaSha512)),
        (TestKey::p256(), "-sha256", Some(EcdsaSha256)),
        (TestKey::p256(), "-sha384", Some(EcdsaSha384)),
        (TestKey::p384(), "-sha256", Some(EcdsaSha256)),
        (TestKey::p384(), "-sha384", Some(EcdsaSha384)),
        (TestKey::trusted(), "-sha1", None),
        (TestKey::p256(), "-sha512", None),
    ] {
        let Certificate { key, signed, signature, algorithm: named, .. } = signed_by_openssl(key, digest);
        assert_eq!(named, algorithm, "{key:?} {digest}");
        for tried in [RsaSha256, RsaSha384, RsaSha512, EcdsaSha256, EcdsaSha384] {
            let expected = algorithm == Some(tried);
            assert_eq!(key.certifies(tried, &signed, &signature), expected, "{key:?} {digest} as {tried:?}");
        }
    }
}

#[test]
fn a_chain_has_four_certificates_at_most() {
    let of = |length: usize| vec![STANDARD.encode(TestKey::p256().certificate().der()); length];
    for (length, read) in [(0, None), (1, Some(1)), (4, Some(4)), (5, None)] {
        assert_eq!(chain(&of(length)).map(|chain| chain.len()), read, "{length}");
    }
}
