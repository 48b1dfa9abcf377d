//! The outbox and the replica as NDJSON: `aesyncd --export FILE` and `--import FILE`, while no daemon runs on the state directory.
//!
//! The first line is a header, the last one counts what stands between, so that a file that was cut off is refused. Between them are
//! the identities, every outbox entry with its state, the answers to request ids, and every base row. The change feed and the cursors
//! are left out: an import starts a new feed, and everything is pulled again over what was imported.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use aesync_protocol::Timestamp;
use aesync_protocol::status::OutboxStatus;
use serde::{Deserialize, Serialize};

use crate::engine::draft::count;
use crate::engine::durable::{Entry, EpochId, Ledger, Registry, Row, StoredAnswer};
use crate::engine::settings::Settings;
use crate::engine::transact::{Done, Step, Txn, run};
use crate::engine::view::{ReadError, View};
use crate::engine::write_set::{Write, WriteSet};
use crate::store::{Finding, FindingCode, OpenError, Options, Store, StoreError, sync_dir};

/// The version of the lines.
const FORMAT: u32 = 1;
/// What is read at a time, and written in one step.
const PAGE: usize = 500;
/// The longest line that is taken, in bytes.
const LINE: u64 = 64 * 1024 * 1024;

/// One line: `{"entry":{...}}`. A tag inside of it would not do: numbers as keys and of 128 bits don't pass serde's buffer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Line {
    Header { format: u32, exported_at: Timestamp },
    Registry { registry: Registry },
    Entry { entry: Box<Entry> },
    Answer { epoch: EpochId, request_id: String, answer: StoredAnswer },
    Record { epoch: EpochId, entity_type: String, id: String, row: Row },
    End { counts: Counts },
}

/// What was exported or imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Outbox entries, parked ones included.
    pub entries: u64,
    /// Answers to request ids.
    pub answers: u64,
    /// Base rows, tombstones included.
    pub records: u64,
}

/// Why nothing was exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The state directory can't be opened; a daemon that runs on it is named.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The state does not read.
    #[error("{0}; start the daemon once, so that it repairs what it can, and try again")]
    Read(#[from] ReadError),
    /// The state can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being tried.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is no whole export.
    #[error("{}, line {line}: {problem}; nothing was imported", path.display())]
    Line {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// There is something that an import would overwrite.
    #[error("the state directory {} is in use by an identity already; import into an empty one (--state-dir)", .0.display())]
    NotEmpty(PathBuf),
}

/// Is told how many lines of how many there are. Beforehand an export counts no tombstones and no answers, so that it may end beyond.
pub type Told<'a> = &'a mut dyn FnMut(u64, u64);

impl Counts {
    const fn lines(self) -> u64 {
        self.entries.saturating_add(self.answers).saturating_add(self.records)
    }
}

/// What an export came to.
#[derive(Debug)]
pub struct Exported {
    /// What is in the file.
    pub counts: Counts,
    /// What the opening of the store found, for people; the daemon tells it too.
    pub findings: Vec<Finding>,
    /// Damaged values that were left out, as far as they were counted.
    pub damaged: usize,
}

/// Writes everything that `dir` holds to `path`, which must not exist; it is readable for its owner alone, since entries may hold
/// secrets on their way to the server. A stop that was no clean one before stays one, so that the daemon's next start treats it so.
///
/// # Errors
/// [`TransferError`]; a file that was begun is incomplete, and an import refuses it.
pub fn export(dir: &Path, options: Options, path: &Path, told: Told<'_>) -> Result<Exported, TransferError> {
    let (store, findings) = Store::open(dir, options)?;
    let was_clean = findings.iter().all(|finding| finding.code != FindingCode::UncleanStop);
    let written = write_file(&store.reader(), options.now, path, told);
    let damaged = store.damaged();
    if was_clean {
        store.close()?;
    }
    Ok(Exported { counts: written?, findings, damaged })
}

fn write_file(view: &impl View, now: Timestamp, path: &Path, told: Told<'_>) -> Result<Counts, TransferError> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let file = open.open(path).map_err(failed("creating", path))?;
    let mut out = Lines { file: BufWriter::new(file), path };
    let counts = write_all(view, now, &mut out, told)?;
    let file = out.file.into_inner().map_err(|error| failed("writing", path)(error.into_error()))?;
    file.sync_all().map_err(failed("writing", path))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_dir(parent).map_err(failed("syncing", parent))?;
    Ok(counts)
}

struct Lines<'a> {
    file: BufWriter<File>,
    path: &'a Path,
}

impl Lines<'_> {
    fn line(&mut self, line: &Line) -> Result<(), TransferError> {
        let written = serde_json::to_writer(&mut self.file, line).map_err(io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).map_err(failed("writing", self.path))
    }
}

fn write_all(view: &impl View, now: Timestamp, out: &mut Lines<'_>, told: Told<'_>) -> Result<Counts, TransferError> {
    let mut counts = Counts::default();
    let registry = view.registry()?;
    let mut total = 0_u64;
    for epoch in registry.epochs.keys() {
        let Ledger { records, outbox, .. } = view.ledger(*epoch)?;
        let OutboxStatus { pending, sent, in_doubt, acked, quarantined, blocked, conflicts, .. } = outbox;
        let entries = [pending, sent, in_doubt, acked, quarantined, blocked, conflicts];
        total = entries.into_iter().chain(records.into_values()).fold(total, u64::saturating_add);
    }
    out.line(&Line::Header { format: FORMAT, exported_at: now })?;
    out.line(&Line::Registry { registry: registry.clone() })?;
    for epoch in registry.epochs.into_keys() {
        let mut after = 0;
        loop {
            let page = view.entries(epoch, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for entry in page {
                counts.entries += 1;
                out.line(&Line::Entry { entry: Box::new(entry) })?;
            }
            told(counts.lines(), total);
        }
        let mut after = String::new();
        loop {
            let page = view.answers(epoch, &after, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            for (request_id, answer) in page {
                counts.answers += 1;
                out.line(&Line::Answer { epoch, request_id, answer })?;
            }
        }
        for entity_type in view.ledger(epoch)?.records.into_keys() {
            let mut after = String::new();
            loop {
                let page = view.rows(epoch, &entity_type, &after, PAGE)?;
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                for (id, row) in page {
                    counts.records += 1;
                    out.line(&Line::Record { epoch, entity_type: entity_type.clone(), id, row })?;
                }
                told(counts.lines(), total);
            }
        }
    }
    out.line(&Line::End { counts })?;
    Ok(counts)
}

/// Fills the state directory `dir`, which must hold nothing yet, with what `path` holds. The file is looked through before anything
/// is written.
///
/// # Errors
/// [`TransferError`]; after one that is no [`TransferError::Line`] the directory may hold a part, which nothing opens any more: remove it,
/// and try again.
pub fn import(dir: &Path, options: Options, settings: &Settings, path: &Path, told: Told<'_>) -> Result<Counts, TransferError> {
    let mut file = BufReader::new(File::open(path).map_err(failed("opening", path))?);
    let counts = check(&mut file, path)?;
    file.rewind().map_err(failed("reading", path))?;
    let (mut store, _) = Store::open(dir, options)?;
    if !store.reader().registry()?.epochs.is_empty() {
        return Err(TransferError::NotEmpty(dir.to_path_buf()));
    }
    store.begin_filling()?;
    let mut ledgers: std::collections::BTreeMap<EpochId, Ledger> = std::collections::BTreeMap::new();
    let mut registry = Registry::default();
    let mut set = WriteSet::default();
    let mut done = 0_u64;
    each_line(&mut file, path, |_, line| {
        match line {
            Line::Header { .. } | Line::End { .. } => {}
            // Last of all: without it nothing of the rest is seen.
            Line::Registry { registry: found } => registry = found,
            Line::Entry { entry } => {
                count(&mut ledgers.entry(entry.epoch).or_default().outbox, &entry, 1);
                set.writes.push(Write::Entry(*entry));
            }
            Line::Answer { epoch, request_id, answer } => set.writes.push(Write::Answer(epoch, request_id, answer)),
            Line::Record { epoch, entity_type, id, row } => {
                let records = ledgers.entry(epoch).or_default().records.entry(entity_type.clone()).or_default();
                *records = records.saturating_add(u64::from(row.is_live()));
                set.writes.push(Write::Row { epoch, entity_type, id, row: Some(row) });
            }
        }
        if set.writes.len() >= PAGE {
            done = done.saturating_add(set.writes.len() as u64);
            store.apply(&std::mem::take(&mut set))?;
            store.sync()?;
            told(done, counts.lines());
        }
        Ok(())
    })?;
    told(counts.lines(), counts.lines());
    let epochs: Vec<EpochId> = registry.epochs.keys().copied().collect();
    for epoch in &epochs {
        let log = uuid::Uuid::new_v4().to_string();
        let ledger = Ledger { log, first_seq: 1, rebuild: Some(0), ..ledgers.remove(epoch).unwrap_or_default() };
        set.writes.push(Write::Ledger(*epoch, ledger));
    }
    set.writes.push(Write::Registry(registry));
    store.apply(&set)?;
    store.sync()?;
    let view = store.view();
    for epoch in epochs {
        // What applications see of the local changes is made from the entries.
        let txn = Txn { epoch, at: options.now, step: Step::Recover };
        loop {
            let (set, outcome) = run(&txn, settings, &view)?;
            store.apply(&set)?;
            store.sync()?;
            if outcome.done != Done::Rebuilding {
                break;
            }
        }
    }
    store.filled()?;
    store.close()?;
    Ok(counts)
}

/// Whether the file is a whole export that this build knows.
fn check(file: &mut BufReader<File>, path: &Path) -> Result<Counts, TransferError> {
    let mut found = Counts::default();
    let (mut last, mut told, mut began) = (0, None, false);
    each_line(file, path, |number, line| {
        let problem = |problem: String| Err(TransferError::Line { path: path.to_path_buf(), line: number, problem });
        last = number;
        match line {
            Line::Header { format, .. } if number == 1 && format <= FORMAT => began = true,
            Line::Header { format, .. } => return problem(format!("format {format} is not known here, or not at its place")),
            _ if !began => return problem("it does not begin as an export does".to_owned()),
            _ if told.is_some() => return problem("there is something behind the end".to_owned()),
            Line::Entry { .. } => found.entries += 1,
            Line::Answer { .. } => found.answers += 1,
            Line::Record { .. } => found.records += 1,
            Line::End { counts } => told = Some(counts),
            Line::Registry { .. } => {}
        }
        Ok(())
    })?;
    let problem = match told {
        Some(told) if told == found => return Ok(found),
        Some(told) => format!("it should hold {told:?}, and holds {found:?}"),
        None => "the export is cut off: its last line is missing".to_owned(),
    };
    Err(TransferError::Line { path: path.to_path_buf(), line: last, problem })
}

fn each_line(
    file: &mut BufReader<File>,
    path: &Path,
    mut each: impl FnMut(u64, Line) -> Result<(), TransferError>,
) -> Result<(), TransferError> {
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let read = file.by_ref().take(LINE).read_until(b'\n', &mut text).map_err(failed("reading", path))?;
        if read == 0 {
            break;
        }
        let line = serde_json::from_slice(&text).map_err(|error| TransferError::Line {
            path: path.to_path_buf(),
            line: number,
            problem: format!("it is no line of an export: {error}"),
        })?;
        each(number, line)?;
    }
    Ok(())
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TransferError {
    let path = path.to_path_buf();
    move |source| TransferError::File { doing, path, source }
}
