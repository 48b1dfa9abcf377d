//! Pages that end by bytes.

use super::child::{EPOCH, appended};
use super::open;
use crate::engine::view::View;

#[test]
fn pages_of_so_many_bytes_hold_at_least_one_value_and_together_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    for number in 1..=40 {
        store.apply(&appended(number)).unwrap();
    }
    store.sync().unwrap();
    let whole = store.reader();
    for bytes in [1, 500, 5_000] {
        let reader = store.reader().in_pages_of(bytes);
        let (mut rows, mut pages, mut after) = (Vec::new(), 0, String::new());
        loop {
            let page = reader.rows(EPOCH, "user", &after, 1_000).unwrap();
            let Some((last, _)) = page.last() else { break };
            assert!(page.len() == 1 || page.len() < 200, "{} rows", page.len());
            after.clone_from(last);
            rows.extend(page);
            pages += 1;
        }
        assert!(pages > 1);
        assert_eq!(rows, whole.rows(EPOCH, "user", "", usize::MAX).unwrap());
        let (mut changes, mut entries, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        while let page = reader.changes(EPOCH, changes.len() as u64, 1_000).unwrap()
            && !page.is_empty()
        {
            changes.extend(page);
        }
        assert_eq!(changes, whole.changes(EPOCH, 0, usize::MAX).unwrap());
        let all = whole.entries(EPOCH, 0, usize::MAX).unwrap();
        while let page =
            reader.entries(EPOCH, entries.last().map_or(0, |entry: &crate::engine::durable::Entry| entry.number), 1_000).unwrap()
            && !page.is_empty()
        {
            entries.extend(page);
        }
        assert_eq!(entries, all);
        let state = all.first().expect("an entry").state;
        while let page = reader
            .entries_in(EPOCH, state, waiting.last().map_or(0, |entry: &crate::engine::durable::Entry| entry.number), 1_000)
            .unwrap()
            && !page.is_empty()
        {
            assert!(bytes > 1 || page.len() == 1);
            waiting.extend(page);
        }
        assert_eq!(waiting, whole.entries_in(EPOCH, state, 0, usize::MAX).unwrap());
    }
}
