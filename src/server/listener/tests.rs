use super::*;

fn congestion(address: &str) -> Vec<u8> {
    let listener = listen(address.parse().unwrap()).unwrap();
    let name = SockRef::from(&listener).tcp_congestion().unwrap();
    name.into_iter().take_while(|byte| *byte != 0).collect()
}

#[test]
fn who_listens_on_this_machine_alone_paces_nothing() {
    assert_eq!(congestion("127.0.0.1:0"), b"reno");
    let machines = std::fs::read("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
    assert_eq!(congestion("0.0.0.0:0"), machines.trim_ascii());
}
