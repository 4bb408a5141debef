//! Numbers that carry their unit in text: `64KiB`, `10m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Why a size or a duration could not be read. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not `<number><unit>`.
    #[error("`{0}` is not a duration: write a whole number and a unit, such as `500ms`, `60s`, `10m`, `6h`")]
    Duration(String),
    /// Not `<number><unit>`.
    #[error("`{0}` is not a size: write a whole number and a unit, such as `512B`, `64KiB`, `16MiB`, `1GiB`")]
    Size(String),
}

/// A number of bytes, written with binary units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

/// A length of time, written with one unit: `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ttl(pub Duration);

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Splits `<digits><unit>` and multiplies by the unit's worth.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let worth = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(worth)
}

/// The largest unit that divides `value` exactly.
fn exact(value: u64, units: impl Iterator<Item = (&'static str, u64)>) -> Option<(u64, &'static str)> {
    units
        .filter(|(_, worth)| value.is_multiple_of(*worth))
        .max_by_key(|(_, worth)| *worth)
        .map(|(name, worth)| (value / worth, name))
}

impl FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text, &SIZES).map(Self).ok_or_else(|| UnitError::Size(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match exact(self.0, SIZES.into_iter()) {
            Some((number, unit)) if self.0 > 0 => write!(f, "{number}{unit}"),
            _ => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for Ttl {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text, &TIMES)
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| UnitError::Duration(text.to_owned()))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        // Up to hours: `6h` and `60s` read as they are written in the file, `1d` would surprise.
        match exact(ms, TIMES.into_iter().filter(|(name, _)| *name != "d")) {
            Some((number, unit)) if ms > 0 => write!(f, "{number}{unit}"),
            _ => write!(f, "{ms}ms"),
        }
    }
}
