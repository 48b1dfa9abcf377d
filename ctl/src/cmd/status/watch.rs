//! `aectl status --watch`: in place on a terminal, a line for each change elsewhere. Survives restarts of the daemon.

use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::client::Events;
use aesync_protocol::request::Subscribe;
use aesync_protocol::{Channel, Event, Status};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::report::{NOT_RUNNING, headline};
use super::screen::Screen;
use super::{Format, text, without_daemon};
use crate::context::{Context, parse};
use crate::exit::{self, Failure};

/// How often times such as "40 s ago" are brought up to date, and how long to wait before looking for the daemon again.
const TICK: Duration = Duration::from_secs(1);

pub(super) fn run(context: &Context, format: Format) -> Result<ExitCode, Failure> {
    let mut shown = Shown { context, format, screen: Screen::default(), last_line: String::new() };
    let mut subscription = match subscribe(context) {
        // Bars are often started before the daemon is.
        Err(failure) if format.is_a_bar() && failure.exit_code() == exit::NO_DAEMON => None,
        other => Some(other?),
    };
    loop {
        let lost = match &mut subscription {
            Some(subscription) => follow(subscription, &mut shown),
            None => Ok(()),
        };
        match lost {
            Err(failure) if failure.exit_code() != exit::NO_DAEMON => return Err(failure),
            _ => shown.nobody()?,
        }
        std::thread::sleep(TICK);
        subscription = match subscribe(context) {
            Err(failure) if failure.exit_code() == exit::NO_DAEMON => None,
            other => Some(other?),
        };
    }
}

fn subscribe(context: &Context) -> Result<Events, Failure> {
    Ok(crate::context::follow(context.connect()?, &Subscribe { channels: vec![Channel::Status], ..Subscribe::default() })?)
}

/// Shows every status until the connection is lost.
fn follow(subscription: &mut Events, shown: &mut Shown<'_>) -> Result<(), Failure> {
    let mut latest = None;
    loop {
        if let Some(params) = subscription.next_json(Some(TICK))? {
            if let Ok(Event::Status { status }) = serde_json::from_str(params.get()) {
                if shown.context.json {
                    shown.context.output.json(status_of(&params)?)?;
                }
                latest = Some(status);
            } else {
                continue;
            }
        }
        if let Some(status) = &latest {
            shown.status(status)?;
        }
    }
}

/// The status alone, as the daemon wrote it.
fn status_of(params: &RawValue) -> Result<&RawValue, Failure> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        status: &'a RawValue,
    }
    Ok(parse::<Params<'_>>("subscribe", params)?.status)
}

/// What was shown last, and where.
struct Shown<'a> {
    context: &'a Context,
    format: Format,
    screen: Screen,
    last_line: String,
}

impl Shown<'_> {
    fn status(&mut self, status: &Status) -> Result<(), Failure> {
        let view = self.context.output.view();
        if self.context.json {
            return Ok(());
        }
        if self.format != Format::Plain {
            return self.line(&text(status, self.format, &view), "");
        }
        match self.context.output.size() {
            Some((width, height)) => {
                let text = self.screen.replace(&text(status, self.format, &view), width, height);
                self.context.output.write(&text)
            }
            // By the time of the change: a retry that draws nearer is no change.
            None => self.line(&headline(status, status.since), &view.now.to_string()),
        }
    }

    fn nobody(&mut self) -> Result<(), Failure> {
        let view = self.context.output.view();
        match self.context.output.size() {
            _ if self.context.json => Ok(()),
            Some((width, height)) if self.format == Format::Plain => {
                let text = self.screen.replace(&without_daemon(self.format, &view), width, height);
                self.context.output.write(&text)
            }
            None if self.format == Format::Plain => self.line(&format!("{NOT_RUNNING}: aectl doctor"), &view.now.to_string()),
            _ => self.line(&without_daemon(self.format, &view), ""),
        }
    }

    /// A line, unless it says what the last one said.
    fn line(&mut self, line: &str, time: &str) -> Result<(), Failure> {
        if line == self.last_line {
            return Ok(());
        }
        line.clone_into(&mut self.last_line);
        self.context.output.line(format!("{time}  {line}").trim_start())
    }
}
