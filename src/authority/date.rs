//! What an authority's `Date` says of its clock and ours (RFC 9110 §6.6.1).

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, DATE};

use crate::base::clock::Timestamp;

/// Clocks that are further apart than this are told of. NTP keeps them within a fraction of a second, and tokens bear a
/// minute.
pub(super) const TOLERATED: Duration = Duration::from_secs(5);

/// When an answer was made, by the clock of who made it. None where that cannot be read, is said twice, or is what a
/// cache has kept (RFC 9111 §5.1).
pub(super) fn of(headers: &HeaderMap) -> Option<Timestamp> {
    let mut dates = headers.get_all(DATE).iter();
    let (Some(date), None, false) = (dates.next(), dates.next(), headers.contains_key(AGE)) else { return None };
    let date = httpdate::parse_http_date(date.to_str().ok()?).ok()?;
    let seconds = date.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok().map(Timestamp)
}

/// By how many milliseconds at the least the clock that wrote `date` is ahead of ours (negative: behind it), when the
/// answer came at `answered` by ours, and `took` so long.
///
/// It was written at some moment between asking and answering, and stands for all of its second: of what it may mean,
/// the middle give or take half of both, this is what lies nearest to no difference.
pub(super) fn ahead(date: Timestamp, (second, micros): (Timestamp, u32), took: Duration) -> i64 {
    let date = date.0.saturating_mul(1000);
    let answered = second.0.saturating_mul(1000).saturating_add(i64::from(micros / 1000));
    let asked = answered.saturating_sub(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
    let least = date.saturating_sub(answered);
    let most = date.saturating_add(1000).saturating_sub(asked);
    least.max(0) + most.min(0)
}

#[cfg(test)]
mod tests;
