use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use super::*;

/// What a socket has after it was told who its peer is. Where it began is the machine's.
fn congestion(peer: IpAddr) -> Vec<u8> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = SockRef::from(&stream);
    spare_pacing(&socket, peer);
    socket.tcp_congestion().unwrap().into_iter().take_while(|byte| *byte != 0).collect()
}

#[test]
fn only_between_two_processes_of_one_machine_nothing_is_paced() {
    let default = congestion(Ipv4Addr::new(192, 0, 2, 1).into());
    assert_eq!(congestion(Ipv6Addr::LOCALHOST.into()), b"reno");
    assert_eq!(congestion(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()), b"reno");
    assert_eq!(congestion(Ipv4Addr::new(127, 9, 9, 9).into()), b"reno");
    assert_eq!(congestion(Ipv4Addr::new(10, 0, 0, 1).into()), default);
    let machines = std::fs::read("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
    assert_eq!(default, machines.trim_ascii());
}
