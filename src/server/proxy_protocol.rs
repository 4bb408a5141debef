//! PROXY protocol versions 1 and 2 (HAProxy's `proxy-protocol.txt`), from the peers that must send it and no other.
//!
//! A listed peer that sends none is cut off: were it optional, whoever reaches us through such a peer could write
//! the header himself. What an unlisted peer sends is read as TLS or HTTP, and fails as that.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use proxy_header::ParseConfig;
use proxy_header::io::ProxiedStream;
use tokio::io::AsyncRead;

/// Whether a connection from `address` must begin with a PROXY header.
pub(super) fn is_expected(from: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    from.iter().any(|network| network.contains(&address))
}

/// Reads the header; gives the stream behind it and the client's address, `peer` where the header names none
/// (`UNKNOWN` or `LOCAL`: the balancer's own health checks).
///
/// # Errors
/// The stream's own; [`io::ErrorKind::InvalidData`] where there is no header.
///
/// # Cancel safety
/// Dropping the future drops the connection.
pub async fn accept<I>(stream: I, peer: SocketAddr) -> io::Result<(ProxiedStream<I>, SocketAddr)>
where
    I: AsyncRead + Unpin,
{
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    let stream = ProxiedStream::create_from_tokio(stream, config).await?;
    let address = stream.proxy_header().proxied_address().map_or(peer, |addresses| addresses.source);
    Ok((stream, address))
}

#[cfg(test)]
mod tests;
