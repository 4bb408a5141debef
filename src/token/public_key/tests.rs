use super::*;
use crate::token::testing::TestKey;

#[test]
fn an_rsa_key_has_2048_to_8192_bits() {
    for (first, bytes, usable) in [
        (0x80, 256, true),
        (0xff, 256, true),
        (0x7f, 256, false),
        (0xff, 255, false),
        (0x7f, 257, true),
        (0xff, 1024, true),
        (0x01, 1025, false),
        (0x00, 257, true),
    ] {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = first;
        let key = PublicKey::from_rsa(&modulus, &[1, 0, 1]);
        assert_eq!(key.is_ok(), usable, "{first:#x} and {bytes} bytes");
    }
}

#[test]
fn a_key_is_of_one_kind_and_ends_where_it_ends() {
    let spki = |key: &TestKey| {
        PublicKey::from_spki(&x509_parser::pem::parse_x509_pem(key.public_pem().as_bytes()).unwrap().1.contents)
    };
    assert_eq!(spki(TestKey::trusted()).unwrap().kind(), Kind::Rsa);
    assert_eq!(spki(TestKey::p256()).unwrap().kind(), Kind::P256);
    assert_eq!(spki(TestKey::p384()).unwrap().kind(), Kind::P384);
    let shown = format!("{:?}", spki(TestKey::p256()).unwrap());
    assert_eq!(shown, format!("P256 {}", spki(TestKey::p256()).unwrap().ids()[0].as_str()));
    let longer = [spki(TestKey::p256()).unwrap().spki(), &[0]].concat();
    assert!(PublicKey::from_spki(&longer).is_err());
}
