//! What lies in the state directory, by name, size and mode; never what is in it.

use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use aesync_protocol::Timestamp;

use crate::text::clean;

/// The most that is listed of a directory.
const LISTED: usize = 200;

/// The directory and those in it, a file a line.
pub(super) fn list(dir: &Path) -> String {
    let own = line(&dir.to_string_lossy(), dir.symlink_metadata());
    std::iter::once(own).chain(inside(dir, "  ", 1)).collect::<Vec<_>>().join("\n")
}

fn inside(dir: &Path, indent: &str, deeper: u32) -> Vec<String> {
    let mut files: Vec<DirEntry> = match dir.read_dir() {
        Ok(files) => files.filter_map(Result::ok).collect(),
        Err(error) => return vec![format!("{indent}can't be read: {error}")],
    };
    files.sort_by_key(DirEntry::file_name);
    let more = files.len().saturating_sub(LISTED);
    let mut lines = Vec::new();
    for file in files.iter().take(LISTED) {
        let found = file.metadata();
        let is_dir = found.as_ref().is_ok_and(Metadata::is_dir);
        lines.push(format!("{indent}{}", line(&file.file_name().to_string_lossy(), found)));
        if is_dir && deeper > 0 {
            lines.extend(inside(&file.path(), &format!("{indent}  "), deeper.saturating_sub(1)));
        }
    }
    if more > 0 {
        lines.push(format!("{indent}and {more} more"));
    }
    lines
}

fn line(name: &str, found: io::Result<Metadata>) -> String {
    let name = clean(name);
    match found {
        Ok(found) => {
            let since = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
            let changed = millis.map_or_else(String::new, |millis| Timestamp::from_millis(millis).to_string());
            format!("{}{name} {} bytes, {changed}", owner_and_mode(&found), found.len())
        }
        Err(error) => format!("{name} can't be seen: {error}"),
    }
}

#[cfg(unix)]
fn owner_and_mode(found: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("{:06o} {}:{} ", found.mode(), found.uid(), found.gid())
}

#[cfg(not(unix))]
fn owner_and_mode(_: &Metadata) -> String {
    String::new()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_and_what_is_in_them_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("sled")).expect("made");
        std::fs::write(dir.path().join("sled/db"), "hunter2").expect("written");
        std::fs::write(dir.path().join("token"), "hunter2").expect("written");
        let listed = list(dir.path());
        let names: Vec<_> = listed.lines().skip(1).map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(names, [Some("sled"), Some("db"), Some("token")], "{listed}");
        assert!(listed.contains("token 7 bytes, 20") && !listed.contains("hunter2"), "{listed}");
        assert!(list(&dir.path().join("none")).contains("can't be seen"));
    }
}
