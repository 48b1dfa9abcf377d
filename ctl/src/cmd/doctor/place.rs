//! Where the daemon keeps its state, whose it is, and how much room there is.

use std::io;
use std::path::Path;

use super::Finding;
use super::owner::{self, Account};
use super::system::free_space;
use crate::keeper::is_root;
use crate::text::bytes;

/// Below this much free space the daemon may soon not be able to keep what apps push.
const LITTLE: u64 = 256 * 1024 * 1024;
/// Below this much it can't be relied on.
const TOO_LITTLE: u64 = 32 * 1024 * 1024;

/// `dir` is `None` when nobody could tell where the state is.
pub(super) fn check(dir: Option<&Path>, is_running: bool, account: Option<&Account>) -> Vec<Finding> {
    let Some(dir) = dir else {
        return vec![Finding::skipped(
            "state",
            "Where the state is can't be told.",
            if is_root() {
                "correct the configuration first"
            } else {
                "correct the configuration first, or run it again with sudo"
            },
        )];
    };
    let shown = dir.display();
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => {
            let wrong = owner::of_state("state", dir, &found, account);
            vec![wrong.unwrap_or_else(|| Finding::ok("state", format!("The state is in {shown}."))), disk(dir)]
        }
        Ok(_) => vec![Finding::broken("state", format!("{shown} is no directory."), "set state.dir, and restart the daemon")],
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_root() => {
            let above = dir.ancestors().skip(1).find(|above| above.exists());
            let hidden = Finding::skipped("state", format!("This user may not see {shown}."), "run it again with sudo");
            std::iter::once(hidden).chain(above.map(disk)).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_running => {
            let above = dir.ancestors().skip(1).find(|above| above.exists());
            let missing = Finding::warning(
                "state",
                format!("{shown} is not there."),
                "nothing, if the daemon never ran: it makes it; else check that its disk is mounted",
            );
            std::iter::once(missing).chain(above.map(disk)).collect()
        }
        Err(error) => vec![Finding::broken(
            "state",
            format!("{shown} can't be seen: {error}."),
            "check that the directory is still there and its disk is mounted",
        )],
    }
}

fn disk(dir: &Path) -> Finding {
    match free_space(dir) {
        Ok(free) => room(free),
        Err(error) => Finding::skipped("disk", format!("Asking for the free space failed: {error}."), "look with df -h"),
    }
}

fn room(free: u64) -> Finding {
    let message = format!("{} are free where the state is.", bytes(free));
    match free {
        ..TOO_LITTLE => Finding::broken("disk", message, "make room: the daemon can't keep what apps push"),
        TOO_LITTLE..LITTLE => Finding::warning("disk", message, "make room before apps can't push any more"),
        LITTLE.. => Finding::ok("disk", message),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn little_room_is_a_warning_and_none_is_broken() {
        for (free, level) in [
            (0, Level::Broken),
            (TOO_LITTLE - 1, Level::Broken),
            (TOO_LITTLE, Level::Warning),
            (LITTLE - 1, Level::Warning),
            (LITTLE, Level::Ok),
        ] {
            assert_eq!(room(free).level, level, "{free}");
        }
    }
}
