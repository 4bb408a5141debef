//! Moments and lengths of time as people write and read them (RFC 3339, UTC).

use crate::base::clock::{DAY, Timestamp};

/// Reads seconds since 1970, or a date and time with its offset (RFC 3339 §5.6). Fractions are dropped.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Timestamp(seconds));
    }
    from_rfc3339(text).ok_or_else(|| "write seconds since 1970, or such as 2026-11-22T10:00:00Z".to_owned())
}

fn from_rfc3339(text: &str) -> Option<Timestamp> {
    let read: toml::value::Datetime = text.parse().ok()?;
    let (date, time) = (read.date?, read.time?);
    let offset = match read.offset? {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - offset;
    Some(Timestamp(days * DAY + minutes * 60 + i64::from(time.second.unwrap_or(0))))
}

/// `2 min 5 s`: the two largest units.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    let units = [("d", DAY.unsigned_abs()), ("h", 3600), ("min", 60), ("s", 1)];
    let Some(first) = units.iter().position(|(_, worth)| seconds >= *worth) else { return "0 s".to_owned() };
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, worth) in units.iter().skip(first).take(2) {
        if rest / worth > 0 {
            parts.push(format!("{} {unit}", rest / worth));
        }
        rest %= worth;
    }
    parts.join(" ")
}

/// Days since 1 January 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let day = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day - 719_468
}

#[cfg(test)]
mod tests;
