//! What the icon in the tray shows and offers. Pure: what is known of the daemon in, texts and menu out.

use aesync_protocol::{Status, StatusWord, Timestamp};

use super::follow::Seen;
use crate::cmd::status::report::headline;
use crate::text::clean;

/// What a click on an item of the menu does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Sync,
    Pause,
    Resume,
    Quit,
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Says something, and does nothing.
    Text(String),
    Do(&'static str, Action),
    Separator,
}

/// The icon in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) word: StatusWord,
    /// The indicator line, as `aectl status` has it.
    pub(super) headline: String,
    /// What needs a person, one a line.
    pub(super) attention: Vec<String>,
    pub(super) menu: Vec<Line>,
}

impl Face {
    pub(super) fn of(seen: &Seen, now: Timestamp) -> Self {
        match seen {
            Seen::Status(status) => Self::of_status(status, now),
            Seen::Lost(why) => Self {
                word: StatusWord::Offline,
                headline: "✕ aesyncd does not answer".to_owned(),
                attention: vec![why.clone()],
                menu: vec![Line::Text("aesyncd does not answer".to_owned()), Line::Separator, Line::Do("Quit", Action::Quit)],
            },
        }
    }

    fn of_status(status: &Status, now: Timestamp) -> Self {
        let headline = headline(status, now);
        let attention: Vec<String> = status.attention.iter().map(|item| clean(&item.message).replace('`', "")).collect();
        let mut menu = vec![Line::Text(headline.clone())];
        menu.extend(attention.iter().cloned().map(Line::Text));
        menu.push(Line::Separator);
        if status.paused {
            menu.push(Line::Do("Resume", Action::Resume));
        } else {
            menu.extend([Line::Do("Sync now", Action::Sync), Line::Do("Pause", Action::Pause)]);
        }
        menu.extend([Line::Separator, Line::Do("Quit", Action::Quit)]);
        Self { word: status.status, headline, attention, menu }
    }
}

#[cfg(test)]
mod tests {
    use aesync_protocol::status::Attention;
    use serde_json::json;

    use super::*;
    use crate::cmd::status::sample::status;

    #[test]
    fn the_menu_says_the_state_and_offers_what_fits_it() {
        let now = Timestamp::EPOCH;
        let attention =
            vec![Attention { code: "conflicts".into(), message: "2 changes: `aectl conflicts`".into(), count: Some(2) }];
        let faces = [
            Seen::Status(Box::new(status(json!({})))),
            Seen::Status(Box::new(Status { status: StatusWord::Pending, attention, ..status(json!({})) })),
            Seen::Status(Box::new(Status { paused: true, ..status(json!({})) })),
            Seen::Lost("nothing answers at /run/s".to_owned()),
        ]
        .map(|seen| Face::of(&seen, now));
        insta::assert_debug_snapshot!(faces);
    }
}
