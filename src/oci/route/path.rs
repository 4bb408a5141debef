//! The raw path of a request, read into what it names. No byte is decoded, with one exception that cannot change
//! which repository is named: `%3A` for the colon of a digest, which some clients' URL builders write.

use std::borrow::Cow;

use super::{RouteError, RouteKind};
use crate::oci::name::{RepositoryName, UploadId};
use crate::oci::reference::{Digest, Reference};

/// What a path names.
pub(super) struct Target {
    pub(super) kind: RouteKind,
    pub(super) repository: Option<RepositoryName>,
    pub(super) upload: Option<UploadId>,
}

/// Reads a path. The registries match it against one expression for each endpoint, all of them anchored at both
/// ends and with tails that hold no slash beyond their own: so the tail decides, the name is all that stands before
/// it, and `a/blobs/uploads/manifests/x` can only be the manifest `x` of `a/blobs/uploads`.
pub(super) fn read(path: &str) -> Result<Target, RouteError> {
    let path = settled(path)?;
    let bare = |kind| Target { kind, repository: None, upload: None };
    let rest = match path.as_ref() {
        "/v2" | "/v2/" => return Ok(bare(RouteKind::Base)),
        "/v2/_catalog" => return Ok(bare(RouteKind::Catalog)),
        "/gitlab/v1" => return Ok(bare(RouteKind::Gitlab)),
        other if other.starts_with("/gitlab/v1/") => return Ok(bare(RouteKind::Gitlab)),
        other => other.strip_prefix("/v2/").ok_or(RouteError::Unknown)?,
    };
    let (name, kind, upload) = tail(rest).ok_or(RouteError::Unknown)?;
    // The endpoint is plain, only the name is not one: upper case, a port, too long. Registries differ in what they
    // make of those, so none of them gets to.
    let repository = RepositoryName::parse(name).map_err(|_| RouteError::Ambiguous)?;
    Ok(Target { kind, repository: Some(repository), upload })
}

/// Splits what follows `/v2/` into the name and the endpoint its tail spells.
fn tail(rest: &str) -> Option<(&str, RouteKind, Option<UploadId>)> {
    if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
        return Some((name, RouteKind::UploadOpen, None));
    }
    let (head, last) = rest.rsplit_once('/')?;
    if let Some(name) = head.strip_suffix("/blobs/uploads") {
        return Some((name, RouteKind::Upload, Some(UploadId::parse(last).ok()?)));
    }
    let (name, word) = head.rsplit_once('/')?;
    let (kind, fits) = match word {
        "tags" => (RouteKind::Tags, last == "list"),
        "manifests" => (RouteKind::Manifest, Reference::parse(last).is_ok()),
        "blobs" => (RouteKind::Blob, Digest::parse(last).is_ok()),
        "referrers" => (RouteKind::Referrers, Digest::parse(last).is_ok()),
        _ => return None,
    };
    fits.then_some((name, kind, None))
}

/// The path if every reader must read it alike, the colon of a digest in its last segment decoded.
///
/// What some hop would decode, drop, merge, resolve or take for a delimiter is refused: percent-encoding, control
/// bytes and anything beyond ASCII, backslashes, `;` parameters, empty segments, `.` and `..` (RFC 3986 §5.2.4).
fn settled(path: &str) -> Result<Cow<'_, str>, RouteError> {
    let (head, last) = path.rsplit_once('/').ok_or(RouteError::Unknown)?;
    let plain = |text: &str| text.bytes().fold(true, |plain, byte| plain & is_plain(byte));
    let moving = |segment: &str| matches!(segment, "" | "." | "..");
    let colon = last.contains('%').then(|| last.find("%3A").or_else(|| last.find("%3a"))).flatten().and_then(|at| {
        let (algorithm, escaped) = last.split_at_checked(at)?;
        Some(format!("{algorithm}:{}", escaped.get("%3A".len()..)?))
    });
    // Only a digest is read so: `%3A` elsewhere, in a name above all, stays what it is, percent-encoding.
    let colon = colon.filter(|decoded| Digest::parse(decoded).is_ok());
    // The first segment is what stands before the first slash, the last may be empty.
    let fixed = !matches!(last, "." | "..") && !head.split('/').skip(1).any(moving);
    let settled = plain(head) && (plain(last) || colon.is_some()) && fixed;
    match colon {
        _ if !settled => Err(RouteError::Ambiguous),
        Some(last) => Ok(Cow::Owned(format!("{head}/{last}"))),
        None => Ok(Cow::Borrowed(path)),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b'%') & (byte != b'\\') & (byte != b';') & (byte != b'?') & (byte != b'#')
}
