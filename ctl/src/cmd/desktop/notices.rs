//! Which notifications there are to be. Pure: statuses in, what to post and to close out.

use std::collections::BTreeMap;

use aesync_protocol::Status;
use aesync_protocol::status::OfflineReason;

use crate::text::clean;

/// What a notification is about. There is at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// Local changes that the server overruled.
    Conflicts,
    /// Local changes that the server refuses.
    Refused,
    /// Nobody is signed in, or the server does not take the sign-in any more.
    SignIn,
    /// The sign-in ends soon.
    Expiring,
}

/// What to do on the desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Posts a notification, in the place of the one of the same topic if that is still there.
    Post { topic: Topic, summary: &'static str, body: String },
    /// Takes it away: it is settled.
    Close(Topic),
}

/// What people were told so far.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// How many of it they know.
    told: BTreeMap<Topic, u64>,
}

impl Notices {
    /// Compares a status with what people know: more of something is told, less of it is not, and none of it takes its notification away.
    /// It outlives connections, so a daemon that starts anew with the same conflicts says nothing new.
    pub(super) fn on(&mut self, status: &Status) -> Vec<Step> {
        let found = findings(status);
        let settled = self.told.keys().copied().filter(|topic| !found.contains_key(topic)).map(Step::Close);
        let mut steps: Vec<Step> = settled.collect();
        for (topic, (count, summary, body)) in &found {
            if *count > self.told.get(topic).copied().unwrap_or(0) {
                steps.push(Step::Post { topic: *topic, summary, body: body.clone() });
            }
        }
        self.told = found.into_iter().map(|(topic, (count, ..))| (topic, count)).collect();
        steps
    }

    /// It could not be posted: the next status tries again.
    pub(super) fn failed(&mut self, topic: Topic) {
        self.told.remove(&topic);
    }
}

fn findings(status: &Status) -> BTreeMap<Topic, (u64, &'static str, String)> {
    let mut found = BTreeMap::new();
    for item in &status.attention {
        let (topic, summary) = match item.code.as_str() {
            "conflicts" => (Topic::Conflicts, "The server overruled local changes"),
            "quarantined" => (Topic::Refused, "The server refused local changes"),
            "auth_required" | "login_refused" => (Topic::SignIn, "Sign-in needed"),
            "auth_expiring" => (Topic::Expiring, "The sign-in ends soon"),
            _ => continue,
        };
        found.insert(topic, (item.count.unwrap_or(1), summary, sentence(&item.message)));
    }
    if matches!(status.reason, Some(OfflineReason::SignedOut | OfflineReason::AuthRequired)) {
        let nobody = || (1, "Sign-in needed", "Nothing is synced until somebody signs in: aectl login".to_owned());
        found.entry(Topic::SignIn).or_insert_with(nobody);
    }
    found
}

/// The daemon's words for people: notifications have no code spans.
fn sentence(message: &str) -> String {
    let mut text = clean(message).replace('`', "");
    if let Some(first) = text.get(..1).map(str::to_uppercase) {
        text.replace_range(..1, &first);
    }
    text
}

#[cfg(test)]
mod tests {
    use aesync_protocol::status::Attention;
    use serde_json::json;

    use super::*;
    use crate::cmd::status::sample::status;

    fn with(items: &[(&str, u64)]) -> Status {
        let attention = |(code, count): &(&str, u64)| Attention {
            code: (*code).to_owned(),
            message: format!("{count} of {code}: see `aectl status`"),
            count: Some(*count),
        };
        Status { attention: items.iter().map(attention).collect(), ..status(json!({})) }
    }

    fn topics(steps: &[Step]) -> Vec<(bool, Topic)> {
        let topic = |step: &Step| match step {
            Step::Post { topic, .. } => (true, *topic),
            Step::Close(topic) => (false, *topic),
        };
        steps.iter().map(topic).collect()
    }

    #[test]
    fn more_is_told_less_is_not_and_none_takes_it_away() {
        let mut notices = Notices::default();
        for (items, expected) in [
            (&[][..], &[][..]),
            (&[("conflicts", 1)], &[(true, Topic::Conflicts)]),
            (&[("conflicts", 1)], &[]),
            (&[("conflicts", 3)], &[(true, Topic::Conflicts)]),
            (&[("conflicts", 2)], &[]),
            (&[("conflicts", 3), ("quarantined", 1)], &[(true, Topic::Conflicts), (true, Topic::Refused)]),
            (&[("quarantined", 1)], &[(false, Topic::Conflicts)]),
            (&[("quarantined", 1), ("auth_required", 1)], &[(true, Topic::SignIn)]),
            (&[("quarantined", 1), ("reconcile_held", 9)], &[(false, Topic::SignIn)]),
            (&[], &[(false, Topic::Refused)]),
        ] {
            assert_eq!(topics(&notices.on(&with(items))), expected, "{items:?}");
        }
    }

    #[test]
    fn the_text_says_what_happened_and_what_to_do_without_control_characters() {
        let steps = Notices::default().on(&Status {
            attention: vec![Attention {
                code: "login_refused".to_owned(),
                message: "the sign-in was refused: \u{1b}[2Jwrong; `aectl login`".to_owned(),
                count: None,
            }],
            ..status(json!({}))
        });
        let body = "The sign-in was refused: \\u{1b}[2Jwrong; aectl login".to_owned();
        assert_eq!(steps, [Step::Post { topic: Topic::SignIn, summary: "Sign-in needed", body }]);
    }

    #[test]
    fn nobody_signed_in_is_told_although_it_is_no_fault() {
        let signed_out = Status { reason: Some(OfflineReason::SignedOut), ..status(json!({})) };
        assert_eq!(topics(&Notices::default().on(&signed_out)), [(true, Topic::SignIn)]);
    }

    #[test]
    fn what_could_not_be_posted_is_tried_again() {
        let mut notices = Notices::default();
        let status = with(&[("conflicts", 2)]);
        assert_eq!(notices.on(&status).len(), 1);
        notices.failed(Topic::Conflicts);
        assert_eq!(topics(&notices.on(&status)), [(true, Topic::Conflicts)]);
    }
}
