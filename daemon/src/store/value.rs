//! How values are written: a version, a checksum, and a body.
//!
//! `version: u8, crc32: u32 little-endian, body`. The checksum covers the key too, so that a value that was read under another
//! key does not pass. The body is JSON, except for base rows, of which there are most: JSON would write their hash and stamps
//! in a hundred bytes more.

use std::sync::Arc;

use aesync_protocol::{Record, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::engine::durable::Row;

/// The version that is written. Older ones stay readable (rule R46).
const VERSION: u8 = 1;
/// What stands before the body.
const HEADER: usize = 5;
/// Bytes that most values do with; a buffer that grows is copied each time.
const USUAL: usize = 1024;

/// Why stored bytes are no value.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    /// They are too few.
    #[error("{0} bytes are too few for a value")]
    Short(usize),
    /// They changed since they were written.
    #[error("its checksum does not fit")]
    Checksum,
    /// A newer build wrote them.
    #[error("it has version {0}, which this build does not know")]
    Version(u8),
    /// They are whole but not what was expected.
    #[error("it is not what is stored there: {0}")]
    Json(#[from] serde_json::Error),
}

/// A value ready to be stored under `key`.
pub(super) fn encode<T: Serialize>(key: &[u8], value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.resize(HEADER, 0);
    serde_json::to_writer(&mut bytes, value)?;
    Ok(seal(key, bytes))
}

/// A value whose JSON is there already, ready to be stored under `key`.
pub(super) fn encode_json(key: &[u8], json: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(json.len().saturating_add(HEADER));
    bytes.resize(HEADER, 0);
    bytes.extend_from_slice(json);
    seal(key, bytes)
}

/// The value that was stored under `key`.
pub(super) fn decode<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, Damage> {
    Ok(serde_json::from_slice(open(key, bytes)?)?)
}

/// A value without content.
pub(super) fn encode_mark(key: &[u8]) -> Vec<u8> {
    seal(key, vec![0; HEADER])
}

/// A base row ready to be stored under `key`: `hash: 16 bytes, flags: u8, a stamp of 8 bytes for each flag, the record as JSON`.
pub(super) fn encode_row(key: &[u8], row: &Row) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.resize(HEADER, 0);
    bytes.extend_from_slice(&row.hash.to_be_bytes());
    let stamps = [row.updated_at, row.deleted_at, row.missing_since];
    bytes.push(stamps.iter().enumerate().fold(0, |flags, (bit, stamp)| flags | (u8::from(stamp.is_some()) << bit)));
    for stamp in stamps.into_iter().flatten() {
        bytes.extend_from_slice(&stamp.as_millis().to_be_bytes());
    }
    serde_json::to_writer(&mut bytes, &row.record)?;
    Ok(seal(key, bytes))
}

/// The base row that was stored under `key`.
pub(super) fn decode_row(key: &[u8], bytes: &[u8]) -> Result<Row, Damage> {
    let OpenRow { hash, stamps: [updated_at, deleted_at, missing_since], json } = open_row(key, bytes)?;
    let record = Arc::<Record>::new(serde_json::from_slice(json)?);
    Ok(Row { record, hash, updated_at, deleted_at, missing_since })
}

/// The record of the base row that was stored under `key`, unless that is a tombstone.
pub(super) fn decode_live_record(key: &[u8], bytes: &[u8]) -> Result<Option<Box<RawValue>>, Damage> {
    let OpenRow { stamps: [_, deleted_at, _], json, .. } = open_row(key, bytes)?;
    deleted_at.is_none().then(|| serde_json::from_slice(json)).transpose().map_err(Damage::from)
}

/// What a base row was stored as.
struct OpenRow<'a> {
    hash: u128,
    /// When it was updated, deleted, and first missing.
    stamps: [Option<Timestamp>; 3],
    json: &'a [u8],
}

fn open_row<'a>(key: &[u8], bytes: &'a [u8]) -> Result<OpenRow<'a>, Damage> {
    let body = open(key, bytes)?;
    let short = || Damage::Short(bytes.len());
    let (hash, rest) = body.split_first_chunk::<16>().ok_or_else(short)?;
    let (flags, mut rest) = rest.split_first().ok_or_else(short)?;
    let mut stamps = [None; 3];
    for (bit, stamp) in stamps.iter_mut().enumerate() {
        if flags & (1 << bit) != 0 {
            let (millis, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
            *stamp = Some(Timestamp::from_millis(i64::from_be_bytes(*millis)));
            rest = after;
        }
    }
    Ok(OpenRow { hash: u128::from_be_bytes(*hash), stamps, json: rest })
}

/// Whether the bytes are what was stored under `key`; their content is not read.
pub(super) fn whole(key: &[u8], bytes: &[u8]) -> Result<(), Damage> {
    open(key, bytes).map(drop)
}

/// The flag of a base row's stamp that makes it a tombstone.
const DELETED: u8 = 2;

/// Whether a base row that is damaged says that it was no tombstone, as most are not.
pub(super) fn says_live(bytes: &[u8]) -> bool {
    bytes.get(HEADER.saturating_add(16)).is_none_or(|flags| flags & DELETED == 0)
}

/// The length of the body of what was stored under `key`, in bytes; its content is not read.
pub(super) fn body_len(key: &[u8], bytes: &[u8]) -> Result<usize, Damage> {
    open(key, bytes).map(<[u8]>::len)
}

/// Whether the base row that was stored under `key` is whole, and is no tombstone.
pub(super) fn is_live_row(key: &[u8], bytes: &[u8]) -> Result<bool, Damage> {
    let flags = open(key, bytes)?.get(16).ok_or(Damage::Short(bytes.len()))?;
    Ok(flags & DELETED == 0)
}

/// Fills in the header of `bytes`, which leave room for it.
fn seal(key: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = checksum(key, VERSION, bytes.get(HEADER..).unwrap_or_default());
    if let Some((version, rest)) = bytes.split_first_mut() {
        *version = VERSION;
        if let Some(place) = rest.first_chunk_mut::<4>() {
            *place = crc.to_le_bytes();
        }
    }
    bytes
}

/// The body, when the checksum fits.
fn open<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    let short = || Damage::Short(bytes.len());
    let (version, rest) = bytes.split_first().ok_or_else(short)?;
    let (crc, body) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    if u32::from_le_bytes(*crc) != checksum(key, *version, body) {
        return Err(Damage::Checksum);
    }
    if *version != VERSION {
        return Err(Damage::Version(*version));
    }
    Ok(body)
}

fn checksum(key: &[u8], version: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Row {
        let record = json!({ "id": "a", "n": 1.5, "big": u64::MAX, "nested": { "z": [null, true], "a": "ü" } });
        Row {
            record: record.as_object().cloned().unwrap_or_default().into(),
            hash: u128::MAX - 7,
            updated_at: Some(Timestamp::from_millis(-5)),
            deleted_at: None,
            missing_since: Some(Timestamp::from_millis(1_700_000_000_123)),
        }
    }

    #[test]
    fn a_row_comes_back_with_every_combination_of_stamps() {
        for bits in 0..8_u8 {
            let stamp = |bit: u8| (bits & (1 << bit) != 0).then(|| Timestamp::from_millis(i64::from(bit) + 1));
            let row = Row { updated_at: stamp(0), deleted_at: stamp(1), missing_since: stamp(2), ..sample() };
            let bytes = encode_row(b"k", &row).expect("encodable");
            assert_eq!(is_live_row(b"k", &bytes).expect("whole"), row.deleted_at.is_none());
            assert_eq!(decode_row(b"k", &bytes).expect("whole"), row);
        }
    }

    #[test]
    fn a_value_with_any_bit_flipped_or_any_end_cut_off_does_not_pass() {
        let bytes = encode_row(b"key", &sample()).expect("encodable");
        for at in 0..bytes.len() {
            assert!(decode_row(b"key", &bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode_row(b"key", &flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_value_that_belongs_to_another_key_does_not_pass() {
        let bytes = encode(b"one", &json!(1)).expect("encodable");
        assert!(matches!(decode::<serde_json::Value>(b"two", &bytes), Err(Damage::Checksum)));
    }

    #[test]
    fn a_value_of_a_newer_version_is_named_as_such() {
        let mut bytes = encode(b"k", &json!(1)).expect("encodable");
        bytes[0] = VERSION + 1;
        let crc = checksum(b"k", bytes[0], &bytes[HEADER..]);
        bytes[1..HEADER].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(decode::<serde_json::Value>(b"k", &bytes), Err(Damage::Version(2))));
    }
}
