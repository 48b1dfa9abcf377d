//! What is right by itself and wrong together.

use super::Problem;
use super::draft::Draft;

impl Draft {
    /// Adds what keys have against each other. Call it once everything is read.
    pub(super) fn compare(&mut self) {
        let auth = &self.config.auth;
        let tuning = &self.config.tuning;
        let (token, email, password) = (auth.token_file.is_some(), auth.email.is_some(), auth.password_file.is_some());
        let (shortest, longest) = (tuning.backoff_min, tuning.backoff_max);
        if token && (email || password) {
            self.complain(
                ["auth.token_file"; 2],
                "there is also auth.email or auth.password_file; allowed: a token file, or an e-mail address with a password file, not both",
            );
        } else if email && !password {
            self.complain(
                ["auth.email"; 2],
                "it needs auth.password_file; set that to a file that holds the password alone, or leave both out and use `aectl login`",
            );
        } else if password && !email {
            self.complain(["auth.password_file"; 2], "it needs auth.email; set that, or leave both out and use `aectl login`");
        }
        if self.config.tuning.silence <= self.config.tuning.ping_interval {
            self.complain(
                ["tuning.silence", "tuning.ping_interval"],
                "the silence must be longer than the ping interval; allowed: best twice as long",
            );
        }
        if shortest > longest {
            self.complain(
                ["tuning.backoff_min", "tuning.backoff_max"],
                "backoff_min is longer than backoff_max; allowed: at most as long",
            );
        }
    }

    /// About the first of the keys that was said. Those that were not have their defaults, and the defaults agree.
    fn complain(&mut self, keys: [&'static str; 2], message: &str) {
        let said = keys.into_iter().find_map(|key| Some((key, self.place(key)?.clone())));
        if let Some((key, place)) = said {
            self.problems.push(Problem { place, key: key.to_owned(), message: message.to_owned() });
        }
    }
}
