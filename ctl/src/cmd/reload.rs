//! `aectl reload`

use std::process::ExitCode;

use aesync_protocol::request::ConfigReload;
use aesync_protocol::response::Reloaded;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::output::View;
use crate::text::{clean, wrap};

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&ConfigReload {}, LOCAL, |reloaded, view| text(&reloaded, view))
}

fn text(reloaded: &Reloaded, view: &View) -> String {
    let list = |keys: &[String]| clean(&keys.join(", ")).into_owned();
    let mut text = match reloaded.changed.as_slice() {
        [] => "Nothing changed.\n".to_owned(),
        keys => wrap(&format!("Now in force: {}", list(keys)), 2, view.width) + "\n",
    };
    if !reloaded.restart_needed.is_empty() {
        let line = format!("Needs a restart of aesyncd: {}", list(&reloaded.restart_needed));
        text.push_str(&(wrap(&line, 2, view.width) + "\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;

    use super::*;
    use crate::output::Paint;

    #[test]
    fn what_needs_a_restart_is_said_apart() {
        let reloaded =
            Reloaded { changed: vec!["log.filter".into(), "sync.interval".into()], restart_needed: vec!["ipc.socket".into()] };
        let view = View { paint: Paint(false), width: None, now: Timestamp::EPOCH };
        assert_eq!(text(&reloaded, &view), "Now in force: log.filter, sync.interval\nNeeds a restart of aesyncd: ipc.socket\n");
        assert_eq!(text(&Reloaded { changed: vec![], restart_needed: vec![] }, &view), "Nothing changed.\n");
    }
}
