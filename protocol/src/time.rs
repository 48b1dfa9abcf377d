//! Timestamps as they stand on the wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z; written as ISO 8601 in UTC with milliseconds and `Z`.
///
/// Finer digits are cut off when a text is read, never rounded up: a truncated server time must not overtake the row it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is no ISO 8601 instant with an offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no timestamp: expected ISO 8601 with an offset, such as 2026-01-31T12:00:00.000Z")]
pub struct BadTimestamp(pub String);

impl Timestamp {
    /// The start of the epoch, which every stored time is after.
    pub const EPOCH: Self = Self(0);
    /// The start of the year 1.
    const FIRST: i64 = -62_135_596_800_000;
    /// 9999-12-30T21:59:59.999Z: the last second that every offset can still write with a four-digit year.
    const LAST: i64 = 253_402_207_199_999;

    /// From milliseconds since the epoch, clamped to the years 1 to 9999 (to 30 December).
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::FIRST, Self::LAST))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time moved by `millis`, clamped to the years 1 to 9999.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// `self - earlier` in milliseconds; negative when `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => f.write_str("1970-01-01T00:00:00.000Z"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| BadTimestamp(text.chars().take(64).collect()))?;
        // Floors, also before 1970, where truncation would round towards the epoch.
        let nanos = instant.as_nanosecond().div_euclid(1_000_000);
        i64::try_from(nanos).map(Self::from_millis).map_err(|_| BadTimestamp(text.chars().take(64).collect()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_with_milliseconds_and_z() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_767_225_600_120).to_string(), "2026-01-01T00:00:00.120Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-30T21:59:59.999Z");
    }

    #[test]
    fn finer_digits_are_cut_off_and_offsets_are_understood() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01.999999Z", 1_999),
            ("1970-01-01T02:00:00.5+02:00", 500),
            ("1969-12-31T23:59:59.9999Z", -1),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(Timestamp::as_millis), Ok(millis), "{text}");
        }
    }

    #[test]
    fn a_text_without_an_offset_is_no_timestamp() {
        for text in ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
