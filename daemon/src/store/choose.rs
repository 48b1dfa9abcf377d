//! Which of sled's directories is the store: the one that is named, unless another one alone has what the journal says.

use std::fs;
use std::path::{Path, PathBuf};

use super::check::{self, Checked};
use super::compare;
use super::database::Database;
use super::disk::sync_dir;
use super::error::OpenError;
use super::evidence;
use super::fault::Fault;
use super::finding::{Finding, FindingCode};
use super::format;
use super::home::{self, Homes};
use super::journal::{self, Journal, Source, Survey};
use super::open::{self, Options, not_opened};
use super::restore;
use super::verify;
use super::writer::Opened;

/// A database that is in line with the journal.
struct Sound {
    database: Database,
    /// The number of its last write set.
    number: u64,
    checked: Checked,
}

/// Opens the database, brings it in line with the journal, and repairs small damage; great damage is moved aside.
pub(super) fn open_checked(
    dir: &Path,
    options: Options,
    was_clean: bool,
    findings: &mut Vec<Finding>,
) -> Result<Opened, OpenError> {
    home::remove_going(dir).map_err(OpenError::io("removing what a rewrite left in", dir))?;
    let homes = home::find(dir).map_err(OpenError::io("listing", dir))?;
    let journal = dir.join("journal");
    let survey = journal::survey(&journal).map_err(OpenError::io("reading", &journal))?;
    let mut reasons: Vec<String> = Vec::new();
    for path in &homes.paths {
        let is_named = homes.is_sure && reasons.is_empty();
        match open_sound(dir, path, options, survey, was_clean, is_named) {
            Ok(Sound { checked: Checked::NewerFormat { found }, .. }) => {
                return Err(OpenError::NewerFormat { dir: dir.to_path_buf(), found, known: format::FORMAT });
            }
            Ok(Sound { database, number, checked: Checked::Sound(repairs) }) => {
                findings.extend(repairs);
                settle_on(dir, options, &homes, path, reasons.first(), findings)?;
                let kept = restore::keep_journal(dir, options.now, survey, &database, number, was_clean);
                let (journal, finding) = kept.map_err(not_opened("opening the outbox journal in", dir))?;
                findings.extend(finding);
                return Ok(Opened { database, journal, home: path.clone() });
            }
            Err(Fault::Damaged(reason)) => reasons.push(reason),
            Err(fault) => return Err(not_opened("opening the store in", path)(fault)),
        }
    }
    let evidence = move_aside(dir, options, &homes.paths)?;
    let reason = reasons.into_iter().next().unwrap_or_default();
    findings.push(Finding::new(
        FindingCode::StoreDamaged,
        format!("the store was damaged ({reason}); it was moved to {} and a fresh one was started", evidence.display()),
    ));
    start_fresh(dir, options, survey, findings)
}

/// Opens a database and holds it against the journal. One that is not named must prove itself.
fn open_sound(
    dir: &Path,
    path: &Path,
    options: Options,
    survey: Survey,
    was_clean: bool,
    is_named: bool,
) -> Result<Sound, Fault> {
    let database = open::open_database(dir, path, options)?;
    let number = check::number(&database)?;
    if number < survey.checkpoint || (number == 0 && !is_named) {
        // It came back to an earlier state without a word.
        let lacking = survey.checkpoint.saturating_sub(number);
        return Err(Fault::Damaged(format!("it lacks the last {lacking} of {} changes that it had stored", survey.checkpoint)));
    }
    let journal = dir.join("journal");
    if number <= survey.number && !(was_clean && number == survey.number) {
        restore::catch_up(&journal, survey, &database)?;
    }
    let mut mended = Vec::new();
    let journal_is_whole = survey.end > 0 && number <= survey.number && survey.beyond.is_none();
    // A file that was damaged since a clean stop makes sled return to an earlier value without a word.
    if journal_is_whole {
        compare::mend_outbox(&journal, survey, &database, &mut mended)?;
    }
    let mut checked = check::check(&database)?;
    if let Checked::Sound(repairs) = &mut checked {
        repairs.extend(mended);
        verify::recount_outbox(&database)?;
        verify::verify(&database, was_clean, options.overlap, repairs)?;
    }
    Ok(Sound { database, number, checked })
}

/// Takes `path` for the store. What else is there goes, if there is no doubt, and is moved aside otherwise.
fn settle_on(
    dir: &Path,
    options: Options,
    homes: &Homes,
    path: &Path,
    reason: Option<&String>,
    findings: &mut Vec<Finding>,
) -> Result<(), OpenError> {
    let others: Vec<PathBuf> = homes.paths.iter().filter(|other| *other != path).cloned().collect();
    if homes.is_sure && reason.is_none() {
        return others
            .iter()
            .try_for_each(|other| home::discard(other))
            .map_err(OpenError::io("removing what a rewrite left in", dir));
    }
    home::switch(dir, path).map_err(OpenError::io("naming the store's directory in", dir))?;
    let found = match reason {
        Some(reason) if homes.is_sure => format!("the store that was in use is damaged ({reason})"),
        _ => "the file that names the store's directory was lost or damaged".to_owned(),
    };
    let moved = if others.is_empty() {
        String::new()
    } else {
        format!(", and what else there was moved to {}", move_aside(dir, options, &others)?.display())
    };
    findings.push(Finding::new(
        FindingCode::StoreInconsistent,
        format!("{found}; {} has what the journal says, and was taken{moved}", path.display()),
    ));
    Ok(())
}

/// Moves directories of sled's to where people can look at them.
fn move_aside(dir: &Path, options: Options, paths: &[PathBuf]) -> Result<PathBuf, OpenError> {
    let evidence = evidence::dir_for(dir, options.now);
    let move_all = || {
        fs::create_dir(&evidence)?;
        for path in paths.iter().filter(|path| path.exists()) {
            fs::rename(path, evidence.join(path.file_name().unwrap_or_default()))?;
        }
        sync_dir(&evidence)?;
        sync_dir(dir)
    };
    move_all().map_err(OpenError::io("moving the damaged store aside to", &evidence))?;
    Ok(evidence)
}

/// A database with nothing but what the journal has.
fn start_fresh(dir: &Path, options: Options, survey: Survey, findings: &mut Vec<Finding>) -> Result<Opened, OpenError> {
    let homes = home::find(dir).map_err(OpenError::io("listing", dir))?;
    let path = homes.paths.into_iter().next().unwrap_or_else(|| dir.join("sled"));
    let not_fresh = || not_opened("creating a fresh store in", &path);
    home::switch(dir, &path).map_err(OpenError::io("naming the store's directory in", dir))?;
    let database = Database::open(&path, options.cache_bytes).map_err(not_fresh())?;
    sync_dir(dir).map_err(OpenError::io("syncing", dir))?;
    restore::restore(dir, options.now, survey, &database, findings).map_err(not_fresh())?;
    check::check(&database).map_err(not_fresh())?;
    let source = if survey.end > 0 { Source::Journal(survey) } else { Source::Database(&database) };
    let mut journal = Journal::rewrite(&dir.join("journal"), source, survey.number).map_err(not_fresh())?;
    journal.make_name_durable().map_err(OpenError::io("syncing", dir))?;
    Ok(Opened { database, journal, home: path })
}
