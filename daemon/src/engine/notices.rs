//! What happened once and somebody should know of, kept until somebody says that it is known (rule R44).

use std::collections::BTreeMap;

use aesync_protocol::status::Attention;
use serde::{Deserialize, Serialize};

use super::durable::EpochId;
use super::effect::CallId;
use super::transact::{Done, Outcome};
use super::view::{Read, View};
use super::write_set::{Write, WriteSet};

/// Codes that are kept at most; the program has fewer.
const CODES: usize = 16;
/// Messages of one code that are kept: the newest. All are counted.
const MESSAGES: usize = 3;
/// Characters of a message that are kept.
const LONGEST: usize = 600;

/// What happened, by code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notices(BTreeMap<String, Notice>);

/// What happened, as often as it did since somebody last knew of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// How often.
    pub count: u64,
    /// The newest of what was said of it, oldest first.
    pub messages: Vec<String>,
}

impl Notices {
    /// Whether there is something with this code.
    #[must_use]
    pub fn has(&self, code: &str) -> bool {
        self.0.contains_key(code)
    }

    /// It happened, perhaps once more.
    pub fn add(&mut self, code: &str, message: &str) {
        if !self.has(code) && self.0.len() >= CODES {
            return;
        }
        let notice = self.0.entry(code.to_owned()).or_default();
        notice.count = notice.count.saturating_add(1);
        let message: String = message.chars().take(LONGEST).collect();
        notice.messages.retain(|known| *known != message);
        notice.messages.push(message);
        let more = notice.messages.len().saturating_sub(MESSAGES);
        notice.messages.drain(..more);
    }

    /// Somebody knows of what has these codes, of everything when none is named; says how many codes that were.
    pub fn acknowledge(&mut self, codes: Option<&[String]>) -> u64 {
        let before = self.0.len();
        self.0.retain(|code, _| codes.is_some_and(|codes| !codes.contains(code)));
        before.abs_diff(self.0.len()) as u64
    }

    /// As the status tells it.
    pub fn shown(&self) -> impl Iterator<Item = Attention> {
        self.0.iter().map(|(code, notice)| {
            // In these messages a colon stands before what to do.
            let what = notice.messages.join("; ").replace(": ", ", ");
            let times = if notice.count > 1 { format!(" ({} times)", notice.count) } else { String::new() };
            let message = format!("{what}{times}: `aectl acknowledge` once you know of it");
            Attention { code: code.clone(), message, count: Some(notice.count) }
        })
    }
}

/// Keeps what happened.
///
/// # Errors
/// When the state can't be read.
pub fn note(view: &dyn View, epoch: EpochId, code: &str, message: &str) -> Read<(WriteSet, Outcome)> {
    let mut notices = view.notices()?;
    notices.add(code, message);
    // The store may have changed the counters by itself when it mended something.
    let ledger = Some(view.ledger(epoch)?);
    let written = super::draft::Written { ledger, ..super::draft::Written::default() };
    Ok((stored(&notices), Outcome { epoch, written, done: Done::Noted(notices) }))
}

/// Forgets what somebody knows of. `others` were acknowledged beside what is stored.
///
/// # Errors
/// When the state can't be read.
pub fn acknowledge(
    view: &dyn View,
    epoch: EpochId,
    call: CallId,
    codes: Option<&[String]>,
    others: u64,
) -> Read<(WriteSet, Outcome)> {
    let mut notices = view.notices()?;
    let count = notices.acknowledge(codes).saturating_add(others);
    let written = super::draft::Written::default();
    Ok((stored(&notices), Outcome { epoch, written, done: Done::Acknowledged { call, count, notices } }))
}

fn stored(notices: &Notices) -> WriteSet {
    WriteSet { writes: vec![Write::Notices(notices.clone())] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(notices: &Notices) -> Vec<(String, String, Option<u64>)> {
        notices.shown().map(|item| (item.code, item.message, item.count)).collect()
    }

    #[test]
    fn what_happens_again_is_counted_and_the_newest_words_are_kept() {
        let mut notices = Notices::default();
        for n in 0..5 {
            notices.add("store_damaged", &format!("moved aside: {n}"));
        }
        notices.add("journal_damaged", "the same");
        notices.add("journal_damaged", "the same");
        let known = "`aectl acknowledge` once you know of it";
        assert_eq!(
            shown(&notices),
            [
                ("journal_damaged".to_owned(), format!("the same (2 times): {known}"), Some(2)),
                (
                    "store_damaged".to_owned(),
                    format!("moved aside, 2; moved aside, 3; moved aside, 4 (5 times): {known}"),
                    Some(5)
                ),
            ]
        );
    }

    #[test]
    fn however_much_happens_what_is_kept_has_a_bound() {
        let mut notices = Notices::default();
        for n in 0..100 {
            notices.add(&n.to_string(), &"x".repeat(100_000));
        }
        assert_eq!(notices.0.len(), CODES);
        assert!(serde_json::to_vec(&notices).expect("JSON").len() < CODES * (LONGEST + 100));
    }

    #[test]
    fn what_is_acknowledged_is_forgotten_and_the_rest_stays() {
        let mut notices = Notices::default();
        ["a", "b", "c"].into_iter().for_each(|code| notices.add(code, "x"));
        assert_eq!(notices.acknowledge(Some(&["b".to_owned(), "unknown".to_owned()])), 1);
        assert!(notices.has("a") && !notices.has("b") && notices.has("c"));
        assert_eq!(notices.acknowledge(None), 2);
        assert_eq!(notices, Notices::default());
    }
}
