//! What needs a person, for the log: one line when it appears, and one when it is settled.

use std::collections::BTreeSet;

use aesync_protocol::Status;

/// What was logged to need a person and is not settled yet, by its code: counts and details change, and are no news.
#[derive(Debug, Default)]
pub struct Noted(BTreeSet<String>);

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It needs a person from now on.
    Appeared(String),
    /// It needs nobody any more.
    Settled(String),
}

impl Noted {
    /// What is different since the last status.
    pub fn news(&mut self, status: &Status) -> Vec<News> {
        let now: BTreeSet<String> = status.attention.iter().map(|attention| attention.code.clone()).collect();
        let settled = self.0.difference(&now).map(|code| News::Settled(format!("settled: {code}")));
        let mut news: Vec<News> = settled.collect();
        for attention in status.attention.iter().filter(|attention| !self.0.contains(&attention.code)) {
            news.push(News::Appeared(format!("needs a person ({}): {}", attention.code, attention.message)));
        }
        self.0 = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use aesync_protocol::status::Attention;

    use super::*;
    use crate::service::headline::tests::status;

    #[test]
    fn what_needs_a_person_is_a_line_when_it_appears_and_when_it_is_settled_and_none_between() {
        let with = |attention: &[(&str, &str)]| {
            let mut status = status(aesync_protocol::StatusWord::Synced, None);
            let said = attention.iter().map(|(code, message)| Attention {
                code: (*code).to_owned(),
                message: (*message).to_owned(),
                count: None,
            });
            status.attention = said.collect();
            status
        };
        let appeared = |text: &str| News::Appeared(text.to_owned());
        let settled = |text: &str| News::Settled(text.to_owned());
        let mut noted = Noted::default();
        assert_eq!(noted.news(&with(&[])), []);
        let one = [("conflicts", "1 change was overruled: decide")];
        assert_eq!(noted.news(&with(&one)), [appeared("needs a person (conflicts): 1 change was overruled: decide")]);
        assert_eq!(noted.news(&with(&[("conflicts", "2 changes were overruled: decide")])), []);
        assert_eq!(
            noted.news(&with(&[("parked", "x")])),
            [settled("settled: conflicts"), appeared("needs a person (parked): x")]
        );
        assert_eq!(noted.news(&with(&[])), [settled("settled: parked")]);
    }
}
