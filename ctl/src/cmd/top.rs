//! `aectl top`: everything at once, live, on the whole terminal.

mod action;
mod detail;
mod draw;
mod feed;
mod key;
mod model;
mod theme;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind};
use ratatui::DefaultTerminal;

use self::feed::News;
use self::key::Step;
use self::model::Model;
use self::theme::Theme;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::now;

/// How soon a key press or a signal is noticed, and news are drawn.
const FRAME: Duration = Duration::from_millis(100);
/// The clock of the rates and of times such as "40 s ago".
const SECOND: Duration = Duration::from_secs(1);
/// News that wait to be drawn; when there are more, the feed waits, and the daemon then tells what it left out.
const WAITING: usize = 1024;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    if context.json || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::Usage("top is for a terminal; in a script use: aectl watch --json".to_owned()));
    }
    // Before the screen is taken: an error of the command line belongs on the ordinary one.
    let path = context.socket_path()?;
    let ended = end_by_signal().map_err(failed)?;
    let (sender, news) = mpsc::sync_channel(WAITING);
    feed::start(path.clone(), context.patience(crate::context::LOCAL), sender.clone());
    let actions = action::start(path, context.timeout, sender);
    let theme = Theme::new(context.output.view().paint.0);
    // Its panic hook restores the terminal, too.
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let outcome = follow(&mut terminal, theme, &news, &actions, &ended);
    let restored = ratatui::try_restore();
    outcome.and(restored).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn failed(source: io::Error) -> Failure {
    Failure::File { tried: "using the terminal".to_owned(), source, next: "try aectl status --watch" }
}

/// Set by the signals that ask to end, so that the terminal is left clean.
fn end_by_signal() -> io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&ended))?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    Ok(ended)
}

fn follow(
    terminal: &mut DefaultTerminal,
    theme: Theme,
    news: &Receiver<News>,
    actions: &mpsc::SyncSender<action::Action>,
    ended: &AtomicBool,
) -> io::Result<()> {
    let mut model = Model::new(now());
    let (mut second, mut stale) = (Instant::now(), true);
    while !ended.load(Ordering::Relaxed) {
        if second.elapsed() >= SECOND {
            second = Instant::now();
            model.second();
            stale = true;
        }
        // No more than may wait, so that a flood of news can't keep the keys from being read.
        for _ in 0..WAITING {
            match news.try_recv() {
                Ok(news) => model.hear(news, actions),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
            stale = true;
        }
        if std::mem::take(&mut stale) {
            model.now = now();
            terminal.draw(|frame| draw::draw(frame, &mut model, theme))?;
        }
        if event::poll(FRAME)? {
            stale = true;
            if let Event::Key(pressed) = event::read()?
                && pressed.kind == KeyEventKind::Press
                && key::press(&mut model, pressed, actions) == Step::Leave
            {
                break;
            }
        }
    }
    Ok(())
}
