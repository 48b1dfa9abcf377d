//! What is moved aside or copied because it is damaged: `damaged-<time>`, for people to look at. Only the newest of it is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aesync_protocol::Timestamp;

use super::finding::{Finding, FindingCode};

/// What their names begin with.
pub(super) const PREFIX: &str = "damaged-";
/// Directories that are kept: each may be as large as the store.
const KEPT: usize = 5;

/// A name in `dir` for what is moved aside, that nothing has yet.
pub(super) fn dir_for(dir: &Path, now: Timestamp) -> PathBuf {
    let stamp = now.to_string().replace([':', '-'], "");
    let base = dir.join(format!("{PREFIX}{stamp}"));
    let mut path = base.clone();
    let mut count = 1_u32;
    while path.symlink_metadata().is_ok() {
        count = count.saturating_add(1);
        path = base.with_file_name(format!("{PREFIX}{stamp}-{count}"));
    }
    path
}

/// Removes all but the newest of it, and says how many that were. What can't be removed stays for the next start.
pub(super) fn keep_the_newest(dir: &Path) -> Option<Finding> {
    let removed = remove_old(dir).unwrap_or_else(|error| {
        tracing::warn!("removing old damaged-* directories from {}: {error}; the next start tries again", dir.display());
        0
    });
    let message = match removed {
        0 => return None,
        1 => format!("1 old damaged-* directory was removed from the state directory; the newest {KEPT} are kept"),
        more => format!("{more} old damaged-* directories were removed from the state directory; the newest {KEPT} are kept"),
    };
    Some(Finding::new(FindingCode::EvidenceRemoved, message))
}

fn remove_old(dir: &Path) -> io::Result<usize> {
    let mut found: Vec<((String, u32), PathBuf)> = Vec::new();
    for file in dir.read_dir()? {
        let file = file?;
        let age = file.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)).map(age_of);
        if let Some(age) = age.filter(|_| file.file_type().is_ok_and(|kind| kind.is_dir())) {
            found.push((age, file.path()));
        }
    }
    found.sort();
    found.truncate(found.len().saturating_sub(KEPT));
    for (_, path) in &found {
        fs::remove_dir_all(path)?;
    }
    Ok(found.len())
}

/// The time in a name, and which one of that time it is.
fn age_of(rest: &str) -> (String, u32) {
    match rest.rsplit_once('-') {
        Some((stamp, number)) => (stamp.to_owned(), number.parse().unwrap_or(0)),
        None => (rest.to_owned(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_was_moved_aside_the_newest_is_kept_and_it_is_said_how_much_was_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = |day: i64| Timestamp::from_millis(1_769_860_800_000 + day * 86_400_000);
        let mut made = Vec::new();
        for day in [3, 1, 1, 1, 2, 5, 4] {
            let path = dir_for(dir.path(), now(day));
            fs::create_dir(&path).expect("made");
            fs::write(path.join("db"), "x").expect("written");
            made.push(path);
        }
        fs::write(dir.path().join("damaged-0"), "somebody's file").expect("written");
        let finding = keep_the_newest(dir.path()).expect("told");
        assert_eq!(finding.code, FindingCode::EvidenceRemoved);
        assert!(finding.message.starts_with("2 old damaged-* directories were removed"), "{}", finding.message);
        let left: Vec<bool> = made.iter().map(|path| path.exists()).collect();
        assert_eq!(left, [true, false, false, true, true, true, true], "{made:?}");
        assert!(dir.path().join("damaged-0").exists());
        assert_eq!(keep_the_newest(dir.path()), None);
    }
}
