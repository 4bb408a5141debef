//! What things are remembered under: keyed hashes that mean nothing outside this process.
//!
//! Every part is preceded by its length, so that no two lists of parts hash alike by sharing a boundary: a cache
//! whose keys are joined strings hands one caller's token to another.

use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::{hmac, rand::SystemRandom};

use crate::oci::access::ResourceActions;

/// The system's random source failed; nothing can be kept safely without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source gave nothing")]
pub struct NoRandomness;

/// A keyed hash. Worthless outside this process: the key is made at start and never leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The bytes, for binding something sealed to this key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Makes [`Key`]s (HMAC-SHA256 under a random key of this process).
#[derive(Debug)]
pub struct Keyer(hmac::Key);

/// All that decides what the authority would answer: the cache's key.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The authority's name.
    pub authority: &'a str,
    /// The Authorization header's bytes; none: anonymous.
    pub authorization: Option<&'a [u8]>,
    /// `service`
    pub service: Option<&'a str>,
    /// The scopes in their canonical spelling.
    pub scope: &'a str,
    /// `account`: some authorities refuse an account that is not the credential's.
    pub account: Option<&'a str>,
    /// The client's address: authorities ban and limit by it.
    pub client: IpAddr,
}

impl Keyer {
    /// A keyer with a key of its own.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new() -> Result<Self, NoRandomness> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map(Self).map_err(|_| NoRandomness)
    }

    /// The key of a token request.
    #[must_use]
    pub fn asked(&self, asked: &Asked<'_>) -> Key {
        let mut parts = Parts::new(&self.0, Purpose::Asked);
        parts.bytes(asked.authority.as_bytes());
        parts.optional(asked.authorization);
        parts.optional(asked.service.map(str::as_bytes));
        parts.bytes(asked.scope.as_bytes());
        parts.optional(asked.account.map(str::as_bytes));
        parts.address(asked.client);
        parts.finish()
    }

    /// The key of a credential at one address, whatever is asked with it: what a 401 is about.
    #[must_use]
    pub fn refused(&self, authority: &str, authorization: &[u8], client: IpAddr) -> Key {
        let mut parts = Parts::new(&self.0, Purpose::Refused);
        parts.bytes(authority.as_bytes());
        parts.bytes(authorization);
        parts.address(client);
        parts.finish()
    }

    /// The key of a credential, whatever is asked with it and from wherever; none: anonymous.
    #[must_use]
    pub fn credential(&self, authority: &str, authorization: Option<&[u8]>) -> Key {
        let mut parts = Parts::new(&self.0, Purpose::Credential);
        parts.bytes(authority.as_bytes());
        parts.optional(authorization);
        parts.finish()
    }

    /// The key of a token.
    #[must_use]
    pub fn token(&self, token: &[u8]) -> Key {
        let mut parts = Parts::new(&self.0, Purpose::Token);
        parts.bytes(token);
        parts.finish()
    }

    /// The key of an upload session.
    #[must_use]
    pub fn upload(&self, repository: &str, upload: &str) -> Key {
        let mut parts = Parts::new(&self.0, Purpose::Upload);
        parts.bytes(repository.as_bytes());
        parts.bytes(upload.as_bytes());
        parts.finish()
    }

    /// The key of what a credential may do in one repository.
    #[must_use]
    pub fn grant(&self, credential: Key, repository: &str) -> Key {
        let mut parts = Parts::new(&self.0, Purpose::Grant);
        parts.bytes(&credential.0);
        parts.bytes(repository.as_bytes());
        parts.finish()
    }

    /// The key of a token given for another: the source token and the access asked for, in any order.
    #[must_use]
    pub fn exchange(&self, token: Key, access: &[ResourceActions]) -> Key {
        let mut access: Vec<&ResourceActions> = access.iter().collect();
        access.sort();
        access.dedup();
        let mut parts = Parts::new(&self.0, Purpose::Exchange);
        parts.bytes(&token.0);
        for entry in access {
            parts.bytes(entry.kind.as_bytes());
            parts.bytes(entry.class.as_bytes());
            parts.bytes(entry.name.as_bytes());
            parts.length(entry.actions.len());
            for action in &entry.actions {
                parts.bytes(action.as_str().as_bytes());
            }
        }
        parts.finish()
    }
}

/// What a key is for. Part of the hash, so that a key of one kind never equals one of another.
#[derive(Clone, Copy)]
enum Purpose {
    Asked = 1,
    Credential = 2,
    Token = 3,
    Upload = 4,
    Grant = 5,
    Exchange = 6,
    Refused = 7,
}

struct Parts(hmac::Context);

impl Parts {
    fn new(key: &hmac::Key, purpose: Purpose) -> Self {
        let mut context = hmac::Context::with_key(key);
        context.update(&[purpose as u8]);
        Self(context)
    }

    fn length(&mut self, length: usize) {
        self.0.update(&(length as u64).to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.update(bytes);
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.0.update(&[0]),
            Some(bytes) => {
                self.0.update(&[1]);
                self.bytes(bytes);
            }
        }
    }

    /// One IPv4 address, or the /64 that an IPv6 host moves about in (RFC 8981).
    fn address(&mut self, address: IpAddr) {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                self.0.update(&[4]);
                self.0.update(&address.octets());
            }
            IpAddr::V6(address) => {
                let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
                self.0.update(&[6]);
                self.0.update(&network.octets());
            }
        }
    }

    fn finish(self) -> Key {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(self.0.sign().as_ref()) {
            *to = *from;
        }
        Key(key)
    }
}

#[cfg(test)]
mod tests;
