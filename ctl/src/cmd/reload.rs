//! `aectl reload`

use std::process::ExitCode;

use aesync_protocol::request::ConfigReload;
use aesync_protocol::response::Reloaded;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::text::clean;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&ConfigReload {}, LOCAL, |reloaded, _| text(&reloaded))
}

fn text(reloaded: &Reloaded) -> String {
    let list = |keys: &[String]| clean(&keys.join(", ")).into_owned();
    let mut text = match reloaded.changed.as_slice() {
        [] => "Nothing changed.\n".to_owned(),
        keys => format!("Now in force: {}\n", list(keys)),
    };
    if !reloaded.restart_needed.is_empty() {
        text.push_str(&format!("Needs a restart of aesyncd: {}\n", list(&reloaded.restart_needed)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_said_apart() {
        let reloaded =
            Reloaded { changed: vec!["log.filter".into(), "sync.interval".into()], restart_needed: vec!["ipc.socket".into()] };
        assert_eq!(text(&reloaded), "Now in force: log.filter, sync.interval\nNeeds a restart of aesyncd: ipc.socket\n");
        assert_eq!(text(&Reloaded { changed: vec![], restart_needed: vec![] }), "Nothing changed.\n");
    }
}
