//! A credential as bytes, to be sealed: each part with its length, absent parts marked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderValue;

use super::Credential;

/// Writes it, with `spare` bytes of room behind: growing would leave a copy in clear on the heap.
pub(super) fn write(credential: &Credential, spare: usize) -> Vec<u8> {
    let authorization = credential.authorization.as_ref().map(HeaderValue::as_bytes);
    let service = credential.service.as_deref().map(str::as_bytes);
    let account = credential.account.as_deref().map(str::as_bytes);
    let parts = [authorization, service, account];
    let length: usize = parts.iter().map(|part| 9 + part.map_or(0, <[u8]>::len)).sum();
    let mut to = Vec::with_capacity(length + 17 + spare);
    for part in parts {
        to.push(u8::from(part.is_some()));
        let part = part.unwrap_or_default();
        to.extend_from_slice(&(part.len() as u64).to_be_bytes());
        to.extend_from_slice(part);
    }
    match credential.client {
        IpAddr::V4(address) => {
            to.push(4);
            to.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            to.push(6);
            to.extend_from_slice(&address.octets());
        }
    }
    to
}

/// Reads what [`write`] wrote.
pub(super) fn read(mut from: &[u8]) -> Option<Credential> {
    let authorization = match part(&mut from)? {
        None => None,
        Some(bytes) => {
            let mut value = HeaderValue::from_bytes(bytes).ok()?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    let service = text(part(&mut from)?)?;
    let account = text(part(&mut from)?)?;
    let client = match from.split_first()? {
        (4, octets) => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
        (6, octets) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
        _ => return None,
    };
    Some(Credential { authorization, service, account, client })
}

fn part<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (present, rest) = from.split_first()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    *from = rest;
    Some((*present == 1).then_some(bytes))
}

fn text(bytes: Option<&[u8]>) -> Option<Option<String>> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec())).transpose().ok()
}
