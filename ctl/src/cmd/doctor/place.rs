//! Where the daemon keeps its state, and how much room there is.

use std::path::Path;

use super::system::free_space;
use super::{Finding, Told};
use crate::text::bytes;

/// Below this much free space the daemon may soon not be able to keep what apps push.
const LITTLE: u64 = 256 * 1024 * 1024;
/// Below this much it can't be relied on.
const TOO_LITTLE: u64 = 32 * 1024 * 1024;

pub(super) fn check(told: &Told) -> Vec<Finding> {
    let Some(dir) = told.configuration.as_ref().and_then(|shown| shown.get("state")?.get("dir")?.as_str()) else {
        return vec![Finding::skipped(
            "state",
            "Only an admin of a running daemon can ask where the state is kept.",
            "run it again with sudo",
        )];
    };
    let dir = Path::new(dir);
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => vec![Finding::ok("state", format!("The state is in {}.", dir.display())), disk(dir)],
        Ok(_) => {
            vec![Finding::broken("state", format!("{} is no directory.", dir.display()), "set state.dir, and restart the daemon")]
        }
        Err(error) => vec![Finding::broken(
            "state",
            format!("{} can't be seen: {error}.", dir.display()),
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
