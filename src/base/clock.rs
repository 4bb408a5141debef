//! Wall time. Waiting is `tokio::time`; this is for what is compared with `exp`, `nbf` and hard ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Seconds since the Unix epoch, the unit of RFC 7519 `NumericDate` without a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment and `duration` (whole seconds) more; saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(seconds(duration)))
    }

    /// This moment less `duration` (whole seconds); saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(seconds(duration)))
    }

    /// Seconds from `earlier` to `self`; negative when `self` is the earlier one.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// How long until `self`, seen from `now`; zero when it has passed.
    #[must_use]
    pub fn until(self, now: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.since(now)).unwrap_or(0))
    }

    /// Year, month and day in the Gregorian calendar, UTC.
    #[must_use]
    pub fn civil(self) -> (i64, i64, i64) {
        // Days since 1 March of the year 0, so that a leap day comes last; 146097 days are 400 years.
        let days = self.0.div_euclid(DAY) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        (era * 400 + year + i64::from(month <= 2), month, day - (153 * from_march + 2) / 5 + 1)
    }
}

/// A date and time in UTC, to the second (RFC 3339 §5.6).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        let seconds = self.0.rem_euclid(DAY);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Where wall time comes from: the system, or a test's hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// A clock that stands still until it is set.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.precise().0
    }

    /// The present moment, and how many microseconds it is past.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn precise(&self) -> (Timestamp, u32) {
        match self {
            Self::System => {
                let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                (Timestamp(seconds(elapsed)), elapsed.subsec_micros())
            }
            Self::Manual(at) => (Timestamp(at.load(Ordering::Relaxed)), 0),
        }
    }

    /// Moves a manual clock; a system clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(at) = self {
            at.fetch_add(seconds(by), Ordering::Relaxed);
        }
    }
}
