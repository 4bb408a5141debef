use tokio::io::AsyncReadExt;

use super::*;

fn peer() -> SocketAddr {
    "10.0.0.5:4000".parse().unwrap()
}

/// What `accept` makes of these bytes: the client's address, and what follows the header.
async fn check(bytes: &[u8]) -> io::Result<(SocketAddr, Vec<u8>)> {
    let (mut stream, address) = accept(bytes, peer()).await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    Ok((address, rest))
}

fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

#[tokio::test]
async fn version_1_names_the_client_and_leaves_the_rest() {
    let (address, rest) = check(b"PROXY TCP4 192.0.2.7 10.0.0.9 51234 443\r\nGET / HTTP/1.1").await.unwrap();
    assert_eq!(address, "192.0.2.7:51234".parse().unwrap());
    assert_eq!(rest, b"GET / HTTP/1.1");
}

#[tokio::test]
async fn version_2_names_the_client_and_leaves_the_rest() {
    let body = [192, 0, 2, 7, 10, 0, 0, 9, 0xc8, 0x22, 0x01, 0xbb, /* a TLV: */ 0xee, 0, 1, 7];
    let mut bytes = version_2(1, 0x11, &body);
    bytes.extend(b"rest");
    let (address, rest) = check(&bytes).await.unwrap();
    assert_eq!(address, "192.0.2.7:51234".parse().unwrap());
    assert_eq!(rest, b"rest");
}

#[tokio::test]
async fn a_balancers_own_check_keeps_the_balancers_address() {
    assert_eq!(check(b"PROXY UNKNOWN\r\n").await.unwrap().0, peer());
    assert_eq!(check(&version_2(0, 0, &[])).await.unwrap().0, peer());
}

#[tokio::test]
async fn a_listed_peer_without_the_header_is_cut_off() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 999.0.2.7 10.0.0.9 51234 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.9 51234 443",
        b"PROXYxTCP4 192.0.2.7 10.0.0.9 51234 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.9 +1234 443\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.9 51234 443 x\r\n",
        b"PROXY TCP6 192.0.2.7 10.0.0.9 51234 443\r\n",
        b"PROXY UNKNOWNx\r\n",
        b"",
    ] {
        assert!(check(bytes).await.is_err(), "{:?} was taken", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn a_tlv_longer_than_its_header_says_reads_nothing_past_it() {
    let body = [192, 0, 2, 7, 10, 0, 0, 9, 0xc8, 0x22, 0x01, 0xbb, 0xee, 0xff, 0xff, 7];
    let mut bytes = version_2(1, 0x11, &body);
    bytes.extend(b"rest");
    // Either reading is safe: the header is refused, or the TLV is not looked at.
    if let Ok((_, rest)) = check(&bytes).await {
        assert_eq!(rest, b"rest");
    }
}

#[test]
fn a_peer_is_listed_by_network_also_when_it_comes_mapped_into_ipv6() {
    let from = ["10.0.0.0/29".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    assert!(is_expected(&from, "10.0.0.5".parse().unwrap()));
    assert!(is_expected(&from, "::ffff:10.0.0.5".parse().unwrap()));
    assert!(is_expected(&from, "2001:db8::9".parse().unwrap()));
    assert!(!is_expected(&from, "10.0.0.8".parse().unwrap()));
    assert!(!is_expected(&[], "10.0.0.5".parse().unwrap()));
}
