//! PROXY protocol versions 1 and 2 (HAProxy's `proxy-protocol.txt` §2), from the peers that must send it and no other.
//!
//! A listed peer that sends none is cut off: were it optional, whoever reaches us through such a peer could write
//! the header himself. What an unlisted peer sends is read as TLS or HTTP, and fails as that.
//!
//! The reading is strict, and the same however the bytes arrive: where a header ends is known before anything in it
//! is looked at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use bytes::BytesMut;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::socket::Socket;

/// The longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// What a header of version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// What a header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whether a connection from `address` must begin with a PROXY header.
pub(super) fn is_expected(from: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    from.iter().any(|network| network.contains(&address))
}

/// Reads the header; gives the stream behind it and the client's address, `peer` where the header names none
/// (`UNKNOWN` or `LOCAL`: the balancer's own health checks).
///
/// # Errors
/// The stream's own; [`io::ErrorKind::InvalidData`] where there is no header, [`io::ErrorKind::UnexpectedEof`] where
/// it breaks off.
///
/// # Cancel safety
/// Dropping the future drops the connection.
pub async fn accept<I>(mut stream: I, peer: SocketAddr) -> io::Result<(Socket<I>, SocketAddr)>
where
    I: AsyncRead + Unpin,
{
    let mut bytes = BytesMut::with_capacity(256);
    loop {
        if let Some(length) = length(&bytes)? {
            let address = address(&bytes.split_to(length)).ok_or(io::ErrorKind::InvalidData)?;
            return Ok((Socket::after(bytes.freeze(), stream), address.unwrap_or(peer)));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// How long the header is that stands at the front, once that is certain: at most 64 KiB by its own length field.
fn length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    if begins(SIGNATURE) {
        let field = bytes.get(14..16).and_then(|field| field.try_into().ok()).map(u16::from_be_bytes);
        return Ok(field.map(|field| 16 + usize::from(field)).filter(|length| bytes.len() >= *length));
    }
    let line = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let end = line.windows(2).position(|two| two == b"\r\n");
    if !begins(WORD) || (end.is_none() && line.len() == LONGEST_LINE) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(end.map(|end| end + 2))
}

/// The client that a whole header names; the inner `None` where it names none, the outer where it is no header.
#[expect(clippy::option_option, reason = "two different things can be missing")]
fn address(header: &[u8]) -> Option<Option<SocketAddr>> {
    match header.strip_prefix(SIGNATURE) {
        Some(rest) => version_2(rest),
        None => version_1(header),
    }
}

/// `PROXY TCP4 source destination port port`, or `UNKNOWN` and whatever follows it.
#[expect(clippy::option_option, reason = "two different things can be missing")]
fn version_1(header: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(header.strip_suffix(b"\r\n")?).ok()?;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next();
    let source = match word()? {
        "UNKNOWN" => return Some(None),
        "TCP4" => IpAddr::V4(first_of_two(word()?, word()?)?),
        "TCP6" => IpAddr::V6(first_of_two(word()?, word()?)?),
        _ => return None,
    };
    let port = first_of_two(number(word()?)?, number(word()?)?)?;
    word().is_none().then_some(Some(SocketAddr::new(source, port)))
}

/// The first, where both are such a thing: the other end's is not used, but must be one.
fn first_of_two<T: FromStr>(first: &str, second: &str) -> Option<T> {
    let first = first.parse().ok()?;
    second.parse::<T>().ok().map(|_| first)
}

/// Digits alone: Rust would also take a sign.
fn number(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

/// What follows the signature: version and command, family, length, addresses, and TLVs that are not looked at.
#[expect(clippy::option_option, reason = "two different things can be missing")]
fn version_2(rest: &[u8]) -> Option<Option<SocketAddr>> {
    let ([command, family, _, _], block) = rest.split_first_chunk::<4>()?;
    match (command, family) {
        // `LOCAL`: whatever stands in the block is to be ignored.
        (0x20, _) => Some(None),
        // An unspecified family, and a UNIX socket, which is no address of a network.
        (0x21, 0x00) => Some(None),
        (0x21, 0x31 | 0x32) => (block.len() >= 216).then_some(None),
        (0x21, 0x11 | 0x12) => {
            let ports = block.get(8..12)?.first_chunk::<2>()?;
            let source = Ipv4Addr::from(*block.first_chunk::<4>()?);
            Some(Some(SocketAddr::new(source.into(), u16::from_be_bytes(*ports))))
        }
        (0x21, 0x21 | 0x22) => {
            let ports = block.get(32..36)?.first_chunk::<2>()?;
            let source = Ipv6Addr::from(*block.first_chunk::<16>()?);
            Some(Some(SocketAddr::new(source.into(), u16::from_be_bytes(*ports))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
