//! Progress on a terminal, fed by the daemon's `progress` channel over the connection of the call itself.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::event::Progress;
use aesync_protocol::request::{Method, Subscribe};
use aesync_protocol::{Channel, Event};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::value::RawValue;

use crate::context::Context;
use crate::exit::Failure;
use crate::text::clean;

/// More bars than this would scroll the terminal.
const MOST_BARS: usize = 12;
const TICK: Duration = Duration::from_millis(120);

/// Calls a method, and shows how far it has come while it runs.
pub(crate) fn fetch<M: Method>(context: &Context, params: &M, usual: Duration) -> Result<Box<RawValue>, Failure> {
    if !io::stderr().is_terminal() {
        return context.fetch(params, usual);
    }
    let mut client = context.connect()?;
    let mut bars = Bars::fed_by(&mut client, M::NAME)?;
    let answer = client.call_for_json(M::NAME, params, context.patience(usual), |event| bars.take(&event));
    drop(bars);
    Ok(answer?)
}

/// A bar for each operation and type, below a line that moves while there is nothing to count yet. Hidden unless there is a terminal,
/// and gone with this value.
pub(crate) struct Bars {
    all: MultiProgress,
    waiting: ProgressBar,
    bars: Vec<(String, ProgressBar)>,
}

impl Bars {
    /// Lets the events of how far it is come over the connection on which `method` is about to be called.
    pub(crate) fn fed_by(client: &mut Client, method: &str) -> Result<Self, Failure> {
        if !io::stderr().is_terminal() {
            return Ok(Self::hidden());
        }
        match client.call(&Subscribe { channels: vec![Channel::Progress], ..Subscribe::default() }) {
            // Without events the call is as good as before.
            Ok(_) | Err(ClientError::Remote(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let all = MultiProgress::new();
        let waiting = all.add(ProgressBar::new_spinner());
        waiting.set_message(format!("{method}: waiting for the server"));
        waiting.enable_steady_tick(TICK);
        Ok(Self { all, waiting, bars: Vec::new() })
    }

    /// None that anybody sees.
    pub(crate) fn hidden() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            waiting: ProgressBar::hidden(),
            bars: Vec::new(),
        }
    }

    /// Takes an event that came before the answer.
    pub(crate) fn take(&mut self, event: &RawValue) {
        if let Ok(Event::Progress(progress)) = serde_json::from_str(event.get()) {
            self.show(&progress);
        }
    }

    fn show(&mut self, progress: &Progress) {
        let name = match &progress.entity_type {
            Some(entity_type) => clean(&format!("{} {entity_type}", progress.op)).into_owned(),
            None => clean(&progress.op).into_owned(),
        };
        let bar = match self.bars.iter().find(|(seen, _)| *seen == name) {
            Some((_, bar)) => bar.clone(),
            None if self.bars.len() == MOST_BARS => return,
            None => {
                self.waiting.finish_and_clear();
                let bar = self.all.add(ProgressBar::no_length().with_prefix(name.clone()));
                self.bars.push((name, bar.clone()));
                bar
            }
        };
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_style(style(progress.total.is_some()));
        bar.set_position(progress.done);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.waiting.finish_and_clear();
        for (_, bar) in &self.bars {
            bar.finish_and_clear();
        }
    }
}

/// How a bar looks; without a total it is only a count.
pub(crate) fn style(counts_down: bool) -> ProgressStyle {
    let template = if counts_down {
        "{prefix:24} {bar:24} {human_pos}/{human_len}  {rate:.dim}  {eta:.dim}"
    } else {
        "{prefix:24} {human_pos}  {rate:.dim}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        })
        .progress_chars("━╸─")
}
