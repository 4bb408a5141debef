//! PROXY protocol: the address comes from the header alone, the header is consumed to its last byte and no further,
//! and neither depends on what follows or on how the bytes arrive.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tidegate::server::proxy_protocol::accept;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

const PEER: ([u8; 4], u16) = ([10, 0, 0, 5], 4000);

/// The bytes are what a balancer sends first.
pub fn check(data: &[u8]) {
    let whole = read(data, usize::MAX);
    let shown = data.escape_ascii();
    assert_eq!(read(data, 1), whole, "{shown} is read otherwise byte by byte");
    assert_eq!(read(data, 7), whole, "{shown} is read otherwise in pieces");
    let Some((address, rest)) = whole else {
        return assert!(header(data).is_none(), "{shown} is a header and was refused");
    };
    let (claimed, end) = header(data).unwrap_or_else(|| panic!("{shown} is no header and was believed"));
    assert_eq!(address, claimed.unwrap_or_else(|| PEER.into()), "{shown} names another");
    assert_eq!(rest, data.get(end..).unwrap_or_default(), "{shown}: more or less than the header was taken");
    let mut longer = data.to_vec();
    longer.extend_from_slice(b"PROXY TCP4 203.0.113.9 10.0.0.9 1 443\r\n");
    let again = read(&longer, usize::MAX).map(|(address, _)| address);
    assert_eq!(again, Some(address), "{shown}: the address depends on what follows");
}

type Read = Option<(SocketAddr, Vec<u8>)>;

fn read(bytes: &[u8], at_once: usize) -> Read {
    let pieces = Pieces { left: bytes, at_once };
    let work = async {
        let (mut stream, address) = accept(pieces, PEER.into()).await.ok()?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok()?;
        Some((address, rest))
    };
    // The bytes are all there: nothing waits.
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => panic!("{} is waited for", bytes.escape_ascii()),
    }
}

/// Bytes that come so many at a time.
struct Pieces<'a> {
    left: &'a [u8],
    at_once: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.at_once.min(self.left.len()).min(buf.remaining());
        let (now, later) = self.left.split_at(count);
        buf.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

/// The address that a header names, if any, and where it ends; from HAProxy's `proxy-protocol.txt` §2.
fn header(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    if let Some(rest) = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        return version_2(rest).map(|(address, length)| (address, length + 12));
    }
    let end = bytes.windows(2).take(106).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(bytes.get(..end)?).ok()?.strip_prefix("PROXY ")?;
    let parts: Vec<&str> = line.split(' ').collect();
    let address = match parts.as_slice() {
        ["UNKNOWN", ..] => None,
        [family, source, destination, from, to] => {
            let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
            let fits = match *family {
                "TCP4" => source.is_ipv4() && destination.is_ipv4(),
                "TCP6" => source.is_ipv6() && destination.is_ipv6(),
                _ => false,
            };
            if !fits || [from, to].iter().any(|port| port.starts_with('+')) {
                return None;
            }
            to.parse::<u16>().ok()?;
            Some(SocketAddr::new(source, from.parse().ok()?))
        }
        _ => return None,
    };
    Some((address, end + 2))
}

fn version_2(rest: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let (&[command, family, high, low], rest) = rest.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let body = rest.get(..length)?;
    let port = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let address = match (command, family) {
        (0x20, _) => None,
        (0x21, 0x11 | 0x12) => {
            let source: [u8; 4] = body.get(..4)?.try_into().ok()?;
            Some(SocketAddr::new(source.into(), port(8).filter(|_| body.len() >= 12)?))
        }
        (0x21, 0x21 | 0x22) => {
            let source: [u8; 16] = body.get(..16)?.try_into().ok()?;
            Some(SocketAddr::new(source.into(), port(32).filter(|_| body.len() >= 36)?))
        }
        (0x21, 0x31 | 0x32) => (body.len() >= 216).then_some(None)?,
        (0x21, 0x00) => None,
        _ => return None,
    };
    Some((address, length + 4))
}
