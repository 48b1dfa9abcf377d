//! `aectl watch`

use std::process::ExitCode;

use aesync_protocol::event::Progress;
use aesync_protocol::request::Subscribe;
use aesync_protocol::{Channel, Event};
use clap::ValueEnum;

use crate::cmd::changes::change_head;
use crate::cmd::status::report::headline;
use crate::context::{Context, follow};
use crate::exit::Failure;
use crate::output::View;
use crate::text::{clean, count, fields, head_and_rest, number};

const EXAMPLES: &str = "\
Goes on until it is ended or the connection is lost: --timeout is for connecting and for the daemon's
first answer, not for events. To wait for a state of things and no longer than a time: aectl wait.

Examples:
  aectl watch                              everything
  aectl watch change --since 0 --json      all changes the feed still holds, then those to come";

/// The columns of the time, the channel and the gaps behind them.
const INDENT: usize = 25;

/// What `watch` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which events [default: all]
    #[arg(value_enum, value_name = "CHANNEL")]
    channels: Vec<ChannelArg>,
    /// Replay the changes after this position first
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// The feed that the position belongs to: refuse to go on in another one
    #[arg(long, value_name = "ID", requires = "since")]
    log: Option<String>,
    /// Only these entity types
    #[arg(long = "type", value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    types: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ChannelArg {
    /// The whole status, whenever it changed
    Status,
    /// The server's notifications
    Notification,
    /// What changed in the replica
    Change,
    /// Entries of the outbox
    Outbox,
    /// How far long operations have come
    Progress,
}

impl ChannelArg {
    fn channel(self) -> Channel {
        match self {
            Self::Status => Channel::Status,
            Self::Notification => Channel::Notification,
            Self::Change => Channel::Change,
            Self::Outbox => Channel::Outbox,
            Self::Progress => Channel::Progress,
        }
    }
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let channels = if args.channels.is_empty() { ChannelArg::value_variants() } else { &args.channels };
    let params = Subscribe {
        channels: channels.iter().map(|channel| channel.channel()).collect(),
        entity_types: super::filter_types(context, args.types)?,
        since: args.since,
        log: args.log,
    };
    let mut subscription = follow(context.connect()?, &params)?;
    loop {
        let Some(params) = subscription.next_json(None)? else { continue };
        if context.json {
            context.output.json(&params)?;
        } else if let Ok(event) = serde_json::from_str(params.get()) {
            context.output.line(&line(&event, &context.output.view()))?;
        }
    }
}

/// An event on one line, or as few as the terminal allows, with the time of its arrival.
fn line(event: &Event, view: &View) -> String {
    let Told { channel, head, rest, is_bad } = tell(event, view);
    let time = view.now.to_string();
    let time = time.get(11..19).unwrap_or(&time);
    let head = format!("{}  {channel:<12}  {head}", view.paint.dim(format!("{time}Z")));
    let paint = |rest: &str| if is_bad { view.paint.red(rest) } else { view.paint.dim(rest) };
    head_and_rest(&head, &rest, INDENT, view.width, paint)
}

/// An event in words.
pub(super) struct Told {
    pub(super) channel: &'static str,
    /// What happened to what.
    pub(super) head: String,
    /// What may be cut, without colour.
    pub(super) rest: String,
    is_bad: bool,
}

/// What happened.
pub(super) fn tell(event: &Event, view: &View) -> Told {
    let told = |channel, head: String, rest: String| Told { channel, head, rest, is_bad: false };
    match event {
        Event::Status { status } => told("status", headline(status, view.now), String::new()),
        Event::Notification { notification } => {
            let id = notification.entity_id.as_deref().map(|id| format!(" {}", clean(id))).unwrap_or_default();
            let (kind, entity_type) = (clean(&notification.kind), clean(&notification.entity_type));
            told("notification", format!("{kind}  {entity_type}{id}"), clean(&notification.message).into_owned())
        }
        Event::Change { change } => {
            let record = change.record.as_ref().map(fields).unwrap_or_default();
            told("change", format!("{}  {}", change.seq, change_head(change, view)), record)
        }
        Event::Outbox { entry } => {
            let head = format!("{}  {}  {}  {}", entry.entry, entry.state, clean(&entry.entity_type), clean(&entry.id));
            let error = entry.last_error.as_ref().map(|error| clean(&error.message).into_owned()).unwrap_or_default();
            Told { is_bad: true, ..told("outbox", head, error) }
        }
        Event::Progress(progress) => told("progress", progress_text(progress), String::new()),
        Event::Checkpoint { seq } => told("checkpoint", format!("the position is now {seq}"), String::new()),
        Event::Lagged { dropped } => {
            told("lagged", format!("{} missed", count(*dropped, "event was", "events were")), String::new())
        }
        Event::Gone { reason, .. } => {
            told("gone", format!("changes can't be followed from here any more ({})", clean(reason)), String::new())
        }
    }
}

/// How far an operation has come, on one line.
pub(super) fn progress_text(progress: &Progress) -> String {
    let entity_type = progress.entity_type.as_deref().map(|name| format!(" {}", clean(name))).unwrap_or_default();
    let total = progress.total.map(|total| format!(" of {}", number(total))).unwrap_or_default();
    format!("{}{entity_type}  {}{total}", clean(&progress.op), number(progress.done))
}
