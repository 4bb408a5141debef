use super::*;
use crate::token::public_key::{Kind, PublicKey};

/// The key of RFC 7638 §3.1.
const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
    oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6q\
    MQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK\
    nqDKgw";

#[test]
fn the_key_of_rfc_7638_has_the_names_that_others_compute() {
    let key = PublicKey::from_rsa(&URL_SAFE_NO_PAD.decode(N).unwrap(), &[1, 0, 1]).unwrap();
    let ids: Vec<_> = key.ids().iter().map(|id| id.as_str().to_owned()).collect();
    // The second by RFC 7638 §3.1, the first computed apart from this code (Python: hashlib, base64).
    assert_eq!(
        ids,
        ["VUZD:EDHW:YWLN:RBFQ:KOA3:UVZ2:XKG5:2V2J:WTPI:6SRD:U6PZ:VCO5", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]
    );
}

#[test]
fn an_ec_key_with_a_short_coordinate_has_both_thumbprints() {
    let short = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    // Whether x and y begin with a zero: neither, the one, the other.
    for (zeros, names) in [((false, false), 2), ((true, false), 3), ((false, true), 3)] {
        let (x, y) = std::iter::repeat_with(|| rcgen::KeyPair::generate().unwrap())
            .take(20_000)
            .map(|pair| (pair.public_key_raw()[1..33].to_vec(), pair.public_key_raw()[33..].to_vec()))
            .find(|(x, y)| (x[0] == 0, y[0] == 0) == zeros)
            .expect("one key in 256");
        let ids = PublicKey::from_point(Kind::P256, &x, &y).unwrap().ids();
        assert_eq!(ids.len(), names);
        assert_eq!(ids[1], KeyId::thumbprint_ec("P-256", &x, &y));
        assert_eq!(ids[names - 1], KeyId::thumbprint_ec("P-256", &short(&x), &short(&y)));
    }
}

#[test]
fn a_key_id_is_short_and_plain() {
    for good in ["a", "ABCD:EFGH", "2026-11-01_key.1", "aGk=", &"k".repeat(128)] {
        assert_eq!(KeyId::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "a b", "x' OR '1'='1", "a\n", "\u{e9}", "a\0", "$(id)", &"k".repeat(129)] {
        assert_eq!(KeyId::parse(bad), Err(KeyIdError), "{bad}");
    }
}
