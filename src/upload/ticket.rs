//! What a ticket says, and what it is bound to.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::oci::name::{RepositoryName, UploadId};
use crate::token::identity::Identity;

/// An upload session, as its Location carries it from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who opened the upload.
    pub identity: Identity,
    /// Whether a lapsed token may go on. False: the ticket only says which origin has the upload.
    pub extends: bool,
    /// When the upload's POST was permitted.
    pub opened: Timestamp,
    /// When extending ends, whatever happens.
    pub hard_end: Timestamp,
    /// When a living token, or the authority, last spoke for the identity.
    pub verified: Timestamp,
    /// Which origin has the upload.
    pub origin: OriginId,
}

/// An origin by the hash of its URL, the same on every replica and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginId(pub u64);

/// What a ticket holds for; part of what is authenticated, never written into it.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The site, as the configuration names it.
    pub site: &'a str,
    /// The authority's issuer.
    pub issuer: &'a str,
    /// The audience.
    pub audience: &'a str,
    /// The repository.
    pub repository: &'a RepositoryName,
    /// The upload.
    pub upload: &'a UploadId,
}

/// How long a ticket is in its plain form.
pub(super) const PLAIN: usize = 32 + 1 + 4 * 8;

impl Ticket {
    /// The ticket of an upload that is opened now by a living token.
    #[must_use]
    pub fn open(identity: Identity, extends: bool, max_session: Duration, origin: OriginId, now: Timestamp) -> Self {
        Self { identity, extends, opened: now, hard_end: now.plus(max_session), verified: now, origin }
    }

    /// The ticket of the next step: verified once more if it was, everything else as it came.
    #[must_use]
    pub fn next(self, verified: Option<Timestamp>) -> Self {
        Self { verified: verified.map_or(self.verified, |at| at.max(self.verified)), ..self }
    }

    pub(super) fn to_plain(self) -> [u8; PLAIN] {
        let mut plain = [0; PLAIN];
        let fields = self
            .identity
            .0
            .into_iter()
            .chain([u8::from(self.extends)])
            .chain(self.opened.0.to_be_bytes())
            .chain(self.hard_end.0.to_be_bytes())
            .chain(self.verified.0.to_be_bytes())
            .chain(self.origin.0.to_be_bytes());
        plain.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        plain
    }

    pub(super) fn from_plain(plain: &[u8]) -> Option<Self> {
        let (identity, rest) = plain.split_first_chunk::<32>()?;
        let (extends, rest) = rest.split_first()?;
        let (opened, rest) = rest.split_first_chunk::<8>()?;
        let (hard_end, rest) = rest.split_first_chunk::<8>()?;
        let (verified, rest) = rest.split_first_chunk::<8>()?;
        let origin = <&[u8; 8]>::try_from(rest).ok()?;
        Some(Self {
            identity: Identity(*identity),
            extends: *extends == 1,
            opened: Timestamp(i64::from_be_bytes(*opened)),
            hard_end: Timestamp(i64::from_be_bytes(*hard_end)),
            verified: Timestamp(i64::from_be_bytes(*verified)),
            origin: OriginId(u64::from_be_bytes(*origin)),
        })
    }
}

impl OriginId {
    /// The id of an origin's URL.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_bytes());
        Self(digest.as_ref().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first)))
    }
}

impl Binding<'_> {
    /// Every part with its length before it, so that no two bindings read alike.
    pub(super) fn associated_data(&self, version: u8) -> Vec<u8> {
        let parts = [self.site, self.issuer, self.audience, self.repository.as_str(), self.upload.as_str()];
        let mut data = Vec::with_capacity(32 + parts.iter().map(|part| part.len() + 8).sum::<usize>());
        data.push(version);
        data.extend_from_slice(b"tidegate upload ticket");
        for part in parts {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

#[cfg(test)]
mod tests;
