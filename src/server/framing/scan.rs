//! Going over many bytes at once.

use std::slice::Iter;

/// Bytes looked at together: what a compiler makes one vector comparison of.
const BLOCK: usize = 16;

/// Takes the bytes before the first that `stops`.
pub(super) fn skip(rest: &mut Iter<'_, u8>, stops: impl Fn(u8) -> bool) {
    let bytes = rest.as_slice();
    let is_clean = |block: &&[u8]| !block.iter().fold(false, |stopped, byte| stopped | stops(*byte));
    let clean = bytes.chunks_exact(BLOCK).take_while(is_clean).count() * BLOCK;
    let tail = bytes.get(clean..).unwrap_or_default();
    let more = tail.iter().position(|byte| stops(*byte)).unwrap_or(tail.len());
    *rest = tail.get(more..).unwrap_or_default().iter();
}

/// Takes as many bytes as there are, `most` at most.
pub(super) fn take(rest: &mut Iter<'_, u8>, most: u64) -> u64 {
    let bytes = rest.as_slice();
    let taken = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
    *rest = bytes.get(taken..).unwrap_or_default().iter();
    taken as u64
}

/// `tchar` (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'#' | b'$' | b'%' | b'&'
        | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~')
}

/// A byte that no field value has (RFC 9110 §5.5).
pub(super) fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}
