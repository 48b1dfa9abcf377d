//! Points in time as the database keeps them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Microseconds since 1970-01-01T00:00:00Z. It prints as the server's JSON does: ISO 8601, `Z`, cut to milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(i64);

impl Stamp {
    /// The machine's clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads ISO 8601: an instant, or a date with or without a time of day, then taken as UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(Self(instant.as_microsecond()));
        }
        let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(Into::into)).ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| Self(zoned.timestamp().as_microsecond()))
    }

    /// The same instant without its microseconds.
    #[must_use]
    pub const fn cut_to_millis(self) -> Self {
        Self(self.0 - self.0.rem_euclid(1_000))
    }

    /// Later by `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Earlier by `duration`.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_microsecond(self.cut_to_millis().0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => f.write_str("Invalid Date"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_prints_milliseconds_and_z_and_cuts_what_is_finer() {
        let stamp = Stamp::parse("2024-05-01T10:00:00.123999Z").unwrap();
        assert_eq!(stamp.to_string(), "2024-05-01T10:00:00.123Z");
        assert_eq!(Stamp::parse("2024-05-01").unwrap().to_string(), "2024-05-01T00:00:00.000Z");
        assert_eq!(Stamp::parse("2024-05-01T10:00:00+02:00").unwrap().to_string(), "2024-05-01T08:00:00.000Z");
        assert_eq!(Stamp::parse("yesterday"), None);
    }
}
