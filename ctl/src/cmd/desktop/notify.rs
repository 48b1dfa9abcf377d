//! `aectl notify`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use notify_rust::{Notification, NotificationHandle, Urgency, error::Error};

use super::follow::{self, Seen};
use super::notices::{Notices, Step, Topic};
use super::{bus, end_with_bus, until_ended};
use crate::context::{Context, LOCAL};
use crate::exit::Failure;

/// Posts notifications until it is told to end.
pub(crate) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let path = context.socket_path()?;
    let patience = context.patience(LOCAL);
    // Said now and not when there is something to post, which may be in a week.
    notify_rust::get_server_information().map_err(|error| {
        bus("asking for the desktop's notification service", error, "start aectl notify within a desktop session")
    })?;
    until_ended(|end| {
        end_with_bus(end)?;
        let (mut notices, mut desktop) = (Notices::default(), Desktop::default());
        follow::start(path, patience, move |seen| {
            // While nobody answers, what was posted stays true as far as anybody knows.
            if let Seen::Status(status) = seen {
                for step in notices.on(&status) {
                    desktop.take(step, &mut notices);
                }
            }
            true
        });
        Ok(())
    })
}

/// The notifications on the desktop.
#[derive(Default)]
struct Desktop {
    shown: BTreeMap<Topic, NotificationHandle>,
}

impl Desktop {
    fn take(&mut self, step: Step, notices: &mut Notices) {
        match step {
            Step::Post { topic, summary, body } => match self.post(topic, summary, &body) {
                Ok(handle) => drop(self.shown.insert(topic, handle)),
                Err(error) => {
                    notices.failed(topic);
                    // It goes on: the service may be about to start anew.
                    let _ = writeln!(
                        std::io::stderr(),
                        "aectl: posting a notification failed: {error}; it is tried again when the status changes"
                    );
                }
            },
            Step::Close(topic) => {
                if let Some(handle) = self.shown.remove(&topic) {
                    handle.close();
                }
            }
        }
    }

    fn post(&self, topic: Topic, summary: &str, body: &str) -> Result<NotificationHandle, Error> {
        let mut notification = Notification::new();
        notification.appname("aesync").icon("dialog-warning").summary(summary).body(&markup(body));
        notification.urgency(if topic == Topic::SignIn { Urgency::Critical } else { Urgency::Normal });
        if let Some(former) = self.shown.get(&topic) {
            notification.id(former.id());
        }
        notification.show()
    }
}

/// The body may hold markup, so its text must not look like any.
fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
