//! Whatever is written, the store reads as the model does.

use std::ops::Bound;
use std::path::Path;

use proptest::prelude::*;

use super::super::database::{Database, Tree};
use super::super::keys::{self, STATES};
use super::{open, sample};
use crate::engine::durable::{EpochId, Registry};
use crate::engine::memory::Memory;
use crate::engine::view::View;
use crate::engine::write_set::{Write, WriteSet};

const TYPES: [&str; 3] = ["a", "ab", "end_user"];
const EPOCHS: [EpochId; 2] = [EpochId(1), EpochId(256)];

/// Few keys, so that writes meet.
fn any_write() -> impl Strategy<Value = Write> {
    let place = || (0..EPOCHS.len(), 0..TYPES.len(), 0..6_u64);
    prop_oneof![
        // Without epochs: the check at the start would find fault with these feeds.
        (0..9_u64).prop_map(|n| Write::Registry(Registry { epochs: [].into(), ..sample::registry(n) })),
        (0..EPOCHS.len(), 0..9_u64).prop_map(|(e, n)| Write::Ledger(EPOCHS[e], sample::ledger(1, n))),
        (place(), any::<Option<u16>>()).prop_map(|((e, t, id), n)| Write::Row {
            epoch: EPOCHS[e],
            entity_type: TYPES[t].to_owned(),
            id: format!("é{id}"),
            row: n.map(|n| sample::row(n.into())),
        }),
        (place(), any::<Option<u16>>()).prop_map(|((e, t, id), n)| Write::Overlay {
            epoch: EPOCHS[e],
            entity_type: TYPES[t].to_owned(),
            id: id.to_string(),
            overlay: n.map(|n| sample::overlay(n.into())),
        }),
        (0..EPOCHS.len(), 0..6_u64, 0..STATES.len(), 0..99_u64).prop_map(|(e, number, state, n)| Write::Entry(sample::entry(
            EPOCHS[e],
            number,
            STATES[state],
            n
        ))),
        (0..EPOCHS.len(), 0..6_u64).prop_map(|(e, number)| Write::RemoveEntry(EPOCHS[e], number)),
        (0..EPOCHS.len(), 0..TYPES.len(), 0..9_u64).prop_map(|(e, t, n)| Write::Cursor(
            EPOCHS[e],
            TYPES[t].to_owned(),
            sample::cursor(n)
        )),
        (0..EPOCHS.len(), 0..40_u64, 0..9_u64).prop_map(|(e, seq, n)| Write::Change(EPOCHS[e], sample::change(seq, n))),
        (0..EPOCHS.len(), 0..40_u64, 0..40_u64).prop_map(|(e, from, to)| Write::TrimChanges { epoch: EPOCHS[e], from, to }),
        (0..EPOCHS.len(), 0..4_u64, 0..9_u64).prop_map(|(e, r, n)| Write::Answer(EPOCHS[e], format!("r{r}"), sample::answer(n))),
        (0..EPOCHS.len(), 0..4_u64).prop_map(|(e, r)| Write::RemoveAnswer(EPOCHS[e], format!("r{r}"))),
    ]
}

fn any_set() -> impl Strategy<Value = WriteSet> {
    prop::collection::vec(any_write(), 0..12).prop_map(|writes| WriteSet { writes })
}

/// Every read of both, and pages from every place.
pub(super) fn assert_equal(one: &impl View, two: &impl View) {
    assert_eq!(one.registry(), two.registry());
    for epoch in EPOCHS {
        assert_eq!(one.ledger(epoch), two.ledger(epoch));
        for entity_type in TYPES {
            assert_eq!(one.cursor(epoch, entity_type), two.cursor(epoch, entity_type));
            for id in ["", "0", "3", "5", "é0", "é2", "é5", "z"] {
                assert_eq!(one.row(epoch, entity_type, id), two.row(epoch, entity_type, id));
                let record =
                    |view: &dyn View| view.record(epoch, entity_type, id).map(|json| json.map(|json| json.get().to_owned()));
                assert_eq!(record(one), record(two));
                assert_eq!(one.overlay(epoch, entity_type, id), two.overlay(epoch, entity_type, id));
                for limit in [0, 1, 2, 100] {
                    assert_eq!(one.rows(epoch, entity_type, id, limit), two.rows(epoch, entity_type, id, limit));
                    assert_eq!(one.overlays(epoch, entity_type, id, limit), two.overlays(epoch, entity_type, id, limit));
                }
            }
        }
        for number in [0, 1, 2, 3, 4, 5, 20, u64::MAX] {
            assert_eq!(one.entry(epoch, number), two.entry(epoch, number));
            for limit in [0, 1, 3, 100] {
                assert_eq!(one.entries(epoch, number, limit), two.entries(epoch, number, limit));
                assert_eq!(one.changes(epoch, number, limit), two.changes(epoch, number, limit));
                assert_eq!(one.ages(epoch, number, limit), two.ages(epoch, number, limit));
                for state in STATES {
                    assert_eq!(one.entries_in(epoch, state, number, limit), two.entries_in(epoch, state, number, limit));
                }
            }
        }
        for request in ["r0", "r1", "r2", "r3"] {
            assert_eq!(one.answer(epoch, request), two.answer(epoch, request));
        }
    }
}

/// The index has each entry under its state and nowhere else: reads would pass over a place that is out of date.
fn assert_index_is_exact(dir: &Path, model: &Memory) {
    let database = Database::open(&dir.join("sled"), 1 << 20).expect("sled opens");
    for epoch in EPOCHS {
        for state in STATES {
            let prefix = keys::places(epoch, state);
            let mut places = Vec::new();
            let mut each = |key: &[u8], _: &[u8]| {
                places.extend(keys::last_number(key));
                true
            };
            database.scan(Tree::Outbox, &prefix, Bound::Included(&prefix), &mut each).expect("scanned");
            // The model's reads begin behind 0.
            let first = model.entry(epoch, 0).expect("a model").filter(|entry| entry.state == state);
            let others = model.entries_in(epoch, state, 0, usize::MAX).expect("a model");
            assert_eq!(places, first.iter().chain(&others).map(|entry| entry.number).collect::<Vec<_>>(), "{state}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_reads_as_the_model_does_at_once_and_after_it_was_opened_again(sets in prop::collection::vec(any_set(), 1..12)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut model = Memory::default();
        let (mut store, findings) = open(dir.path());
        prop_assert_eq!(findings, vec![]);
        for (n, set) in sets.iter().enumerate() {
            store.apply(set).expect("applied");
            model.apply(set);
            assert_equal(&store.view(), &model);
            if n % 3 == 2 {
                store.sync().expect("synced");
                assert_equal(&store.view(), &model);
            }
        }
        store.sync().expect("synced");
        assert_equal(&store.view(), &model);
        assert_equal(&store.reader(), &model);
        store.close().expect("closed");
        assert_index_is_exact(dir.path(), &model);
        let (store, _) = open(dir.path());
        assert_equal(&store.reader(), &model);
    }
}
