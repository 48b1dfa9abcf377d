//! `aectl indicator`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use aesync_protocol::StatusWord;
use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::{Method, Pause, Resume, Sync};
use ksni::blocking::TrayMethods as _;
use ksni::menu::StandardItem;
use ksni::{Icon, MenuItem, ToolTip, Tray};

use super::follow::{self, Seen};
use super::tray::{Action, Face, Line};
use super::{End, bus, end_with_bus, icon, until_ended};
use crate::context::{BULK, Context, LOCAL};
use crate::exit::Failure;
use crate::output::now;

/// Clicks that wait to be carried out; more are dropped.
const CLICKS: usize = 16;

/// Shows the icon until it is told to end.
pub(crate) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let path = context.socket_path()?;
    let (patience, timeout) = (context.patience(LOCAL), context.timeout);
    until_ended(|end| {
        end_with_bus(end.clone())?;
        let clicks = carry_out(path.clone(), timeout, end);
        let face = Face::of(&Seen::Lost("connecting".to_owned()), now());
        // A panel that is not there yet, or starts anew, is waited for.
        let handle = Indicator { face, clicks }
            .assume_sni_available(true)
            .spawn()
            .map_err(|error| bus("showing the icon", error, "start aectl indicator within a desktop session"))?;
        follow::start(path, patience, move |seen| handle.update(|indicator| indicator.face = Face::of(&seen, now())).is_some());
        Ok(())
    })
}

/// The icon, as the panel asks for it.
struct Indicator {
    face: Face,
    clicks: mpsc::SyncSender<Action>,
}

impl Tray for Indicator {
    const MENU_ON_ACTIVATE: bool = true;

    fn id(&self) -> String {
        "aesync".to_owned()
    }

    fn title(&self) -> String {
        self.face.headline.clone()
    }

    fn status(&self) -> ksni::Status {
        if self.face.attention.is_empty() { ksni::Status::Active } else { ksni::Status::NeedsAttention }
    }

    fn icon_pixmap(&self) -> Vec<Icon> {
        pixmaps(self.face.word)
    }

    fn attention_icon_pixmap(&self) -> Vec<Icon> {
        pixmaps(self.face.word)
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip { title: self.face.headline.clone(), description: self.face.attention.join("\n"), ..ToolTip::default() }
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        let item = |line: &Line| match line {
            Line::Separator => MenuItem::Separator,
            Line::Text(text) => StandardItem { label: label(text), enabled: false, ..StandardItem::default() }.into(),
            Line::Do(text, action) => {
                let action = *action;
                let activate = Box::new(move |indicator: &mut Self| {
                    // Whoever clicks faster than the daemon answers has clicked enough.
                    let _ = indicator.clicks.try_send(action);
                });
                StandardItem { label: (*text).to_owned(), activate, ..StandardItem::default() }.into()
            }
        };
        self.face.menu.iter().map(item).collect()
    }
}

fn pixmaps(word: StatusWord) -> Vec<Icon> {
    let icon = |side: u16| Icon { width: side.into(), height: side.into(), data: icon::pixels(word, side) };
    icon::SIDES.map(icon).into()
}

/// In a label an underscore makes the next letter a shortcut, and two are one.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

/// Carries clicks out, one after the other: the icon goes on meanwhile, and shows what became of them.
fn carry_out(path: PathBuf, timeout: Option<Duration>, end: mpsc::SyncSender<End>) -> mpsc::SyncSender<Action> {
    let (clicks, clicked) = mpsc::sync_channel(CLICKS);
    std::thread::spawn(move || {
        for action in clicked {
            let outcome = match action {
                Action::Sync => call(&path, timeout.unwrap_or(BULK), &Sync {}),
                Action::Pause => call(&path, timeout.unwrap_or(LOCAL), &Pause {}),
                Action::Resume => call(&path, timeout.unwrap_or(LOCAL), &Resume {}),
                Action::Quit => {
                    // It ends once; a second click has nothing to end.
                    let _ = end.send(Ok(()));
                    continue;
                }
            };
            if let Err(error) = outcome {
                use std::io::Write as _;
                // A tray has no place for it; the status says what matters of it.
                let _ = writeln!(std::io::stderr(), "aectl: {error}");
            }
        }
    });
    clicks
}

fn call<M: Method>(path: &Path, patience: Duration, params: &M) -> Result<(), ClientError> {
    Client::connect_within(path, patience.min(LOCAL))?.call_within(params, patience).map(drop)
}
