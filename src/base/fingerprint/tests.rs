use std::hash::BuildHasher;

use super::*;

#[test]
fn a_fingerprint_is_its_own_hash() {
    // From `printf abc | sha256sum`.
    let fingerprint = Fingerprint::of(b"abc");
    assert_eq!(fingerprint.0[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
    assert_eq!(FingerprintHasher::default().hash_one(fingerprint), 0xba78_16bf_8f01_cfea);
    assert_ne!(fingerprint, Fingerprint::of(b"abd"));
}
