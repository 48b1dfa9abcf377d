//! Values as a person writes them in the file.

use std::time::Duration;

use serde::Serializer;

const DURATIONS: [(&str, u128); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u128); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// The number in the largest unit that divides it; the last unit is 1.
fn exact(number: u128, units: &[(&str, u128)]) -> String {
    let fits = |(_, size): &&(&str, u128)| number >= *size && number.is_multiple_of(*size);
    match units.iter().find(fits).or(units.last()) {
        Some((unit, size)) => format!("{}{unit}", number / size),
        None => number.to_string(),
    }
}

pub(super) fn written_duration(duration: Duration) -> String {
    exact(duration.as_millis(), &DURATIONS)
}

pub(super) fn written_bytes(bytes: u64) -> String {
    exact(u128::from(bytes), &SIZES)
}

// serde hands references over.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn duration<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written_duration(*value))
}

pub(super) fn bytes<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written_bytes(*value))
}

pub(super) fn bytes_of_memory<S: Serializer>(value: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&exact(*value as u128, &SIZES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_written_exactly_in_their_largest_unit() {
        for (millis, text) in [(0, "0ms"), (150, "150ms"), (1000, "1s"), (90_000, "90s"), (300_000, "5m"), (2_592_000_000, "30d")]
        {
            assert_eq!(written_duration(Duration::from_millis(millis)), text);
            assert_eq!(humantime::parse_duration(text).ok(), Some(Duration::from_millis(millis)));
        }
        for (bytes, text) in
            [(0, "0B"), (1023, "1023B"), (65_536, "64KiB"), (101_376, "99KiB"), (8 << 20, "8MiB"), (2 << 30, "2GiB")]
        {
            assert_eq!(written_bytes(bytes), text);
            assert_eq!(text.parse::<bytesize::ByteSize>().map(|size| size.0), Ok(bytes));
        }
    }
}
