use super::*;

#[test]
fn an_address_is_written_as_it_displays() {
    for address in
        ["0.0.0.0", "192.0.2.7", "255.255.255.255", "10.20.130.240", "::1", "2001:db8::7", "::ffff:192.0.2.7"]
    {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(text(address), address.to_string());
    }
}
