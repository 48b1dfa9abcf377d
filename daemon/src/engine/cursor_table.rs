//! What an answer does to the cursor, case by case, and what each way to keep one costs in rows.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::engine::puller::Puller;
use crate::engine::settings::Settings;

/// Seconds after the beginning of 2026.
fn stamp(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + seconds * 1_000)
}

/// A cursor that stands at `high_water`, with the row there as its canary.
fn standing_at(high_water: i64) -> Cursor {
    Cursor { high_water: Some(stamp(high_water)), canary: Some("canary".to_owned()), first_sync_done: true, ..Cursor::default() }
}

fn brought(received: u64, newest: i64, canary_seen: bool) -> Tally {
    let newest_id = (received > 0).then(|| "newest".to_owned());
    Tally { received, newest: (received > 0).then(|| stamp(newest)), newest_id, canary_seen }
}

#[test]
fn the_high_water_is_clamped_held_and_believed_case_by_case() {
    struct Case(&'static str, Cursor, Tally, Option<i64>, bool, bool);
    let fresh = Cursor::default;
    let twice_empty = Cursor { empty_answers: 1, ..Cursor::default() };
    let doubted = Cursor { suspicious: true, ..standing_at(100) };
    // What is asked of: the answer's stamp is 200. Then: the high water after it, whether it is believed, whether the type is suspicious.
    for Case(name, cursor, tally, high_water, believed, suspicious) in [
        Case("a newer row moves it", standing_at(100), brought(3, 150, true), Some(150), true, false),
        Case("the same rows again leave it", standing_at(100), brought(3, 100, true), Some(100), true, false),
        Case(
            "a row from the future is clamped to the answer's stamp",
            standing_at(100),
            brought(1, 9_000, true),
            Some(200),
            true,
            false,
        ),
        Case("older rows never move it back", standing_at(100), brought(2, 95, true), Some(100), true, false),
        Case("an empty answer holds it, and is doubted", standing_at(100), brought(0, 0, false), Some(100), false, true),
        Case(
            "without the canary rows count, and the answer is doubted",
            standing_at(100),
            brought(2, 150, false),
            Some(150),
            false,
            true,
        ),
        Case("a whole answer ends the doubt", doubted, brought(2, 150, true), Some(150), true, false),
        Case("the first rows set it", fresh(), brought(5, 150, true), Some(150), true, false),
        Case("a first empty answer proves nothing", fresh(), brought(0, 0, true), None, false, false),
        Case("a second one in a row is believed", twice_empty, brought(0, 0, true), None, true, false),
    ] {
        let (after, healthy) = advance(&cursor, &tally, stamp(200), stamp(300), Without::default());
        assert_eq!((after.high_water, healthy, after.suspicious), (high_water.map(stamp), believed, suspicious), "{name}");
    }
}

/// A server over virtual seconds: some rows commit after later ones, some are stamped an hour ahead, some answers are empty by mistake.
struct Server {
    /// Stamp and the moment from which a row shows, in milliseconds.
    rows: Vec<(i64, i64)>,
    chance: u64,
}

impl Server {
    fn draw(&mut self, most: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % most
    }

    /// Lets a client ask until there are this many rows, and once more in the end; how many of them it never got. It is given each
    /// answer with its stamp, and says since when it asks next.
    fn run(rows: usize, mut client: impl FnMut(&[(usize, i64)], i64) -> i64) -> usize {
        let mut server = Self { rows: Vec::new(), chance: 0x5eed };
        let (mut now, mut since, mut got) = (0, i64::MIN, BTreeSet::new());
        while server.rows.len() < rows {
            now += server.draw(20_000) as i64;
            for _ in 0..server.draw(30) {
                let ahead = if server.draw(2_000) == 0 { 3_600_000 } else { 0 };
                let late = if server.draw(10) == 0 { server.draw(4_000) as i64 } else { 0 };
                server.rows.push((now + ahead, now + late));
            }
            let swallowed = server.draw(20) == 0;
            let answer =
                server.rows.iter().enumerate().filter(|(_, (stamp, shows))| !swallowed && *stamp > since && *shows <= now);
            let answer: Vec<(usize, i64)> = answer.map(|(row, (stamp, _))| (row, *stamp)).collect();
            got.extend(answer.iter().map(|(row, _)| *row));
            since = client(&answer, now);
        }
        // By then whatever was late shows.
        let last = server.rows.iter().enumerate().filter(|(_, (stamp, _))| *stamp > since).map(|(row, _)| row);
        got.extend(last);
        server.rows.len() - got.len()
    }
}

/// Rows that our rule loses, whole or with a part of it taken out; without full listings, which would bring them back.
fn lost_without(without: Without) -> usize {
    let mut cursor = Cursor::default();
    let settings = Settings { without, ..Settings::new("http://127.0.0.1", None, &["end_user"]) };
    Server::run(20_000, |answer, now| {
        let newest = answer.iter().max_by_key(|(_, stamp)| *stamp).copied();
        let tally = Tally {
            received: answer.len() as u64,
            newest: newest.map(|(_, stamp)| Timestamp::from_millis(stamp)),
            newest_id: newest.map(|(row, _)| row.to_string()),
            canary_seen: true,
        };
        cursor = advance(&cursor, &tally, Timestamp::from_millis(now), stamp(0), without).0;
        let types = ["end_user".to_owned()];
        let cursors = BTreeMap::from([("end_user".to_owned(), cursor.clone())]);
        let groups = Puller::groups(&settings, &cursors, &types, false);
        groups.front().map_or(i64::MIN, |(since, _)| since.as_millis())
    })
}

/// A cursor by an answer's rows and its moment; `None` leaves it where it is.
type SimpleCursor = fn(&[(usize, i64)], i64) -> Option<i64>;

#[test]
fn clamp_hold_and_overlap_lose_no_row_where_every_simpler_cursor_does() {
    let simple = |lag: i64, of: SimpleCursor| {
        let mut cursor = i64::MIN;
        Server::run(20_000, |answer, now| {
            cursor = of(answer, now).map_or(cursor, |newest| newest - lag);
            cursor
        })
    };
    let answered: SimpleCursor = |_, now| Some(now);
    let newest: SimpleCursor = |rows, _| rows.iter().map(|(_, stamp)| *stamp).max();
    let lost = [
        ("the answer's stamp", simple(0, answered)),
        ("the answer's stamp less 5 s", simple(5_000, answered)),
        ("the newest row", simple(0, newest)),
        ("the newest row less 5 s", simple(5_000, newest)),
        ("clamp, hold, overlap", lost_without(Without::default())),
    ];
    println!("rows of 20,000 lost by cursor: {lost:?}");
    assert_eq!(lost[4].1, 0, "{lost:?}");
    assert!(lost[..4].iter().all(|(_, rows)| *rows > 0), "a cursor that should lose rows did not: {lost:?}");
}

#[test]
fn each_part_of_the_rule_is_needed() {
    for part in [Mutation::CursorNotClamped, Mutation::CursorNotHeld, Mutation::NoOverlap] {
        assert!(lost_without(Without::rule(part)) > 0, "nothing was lost with {part:?}");
    }
}
