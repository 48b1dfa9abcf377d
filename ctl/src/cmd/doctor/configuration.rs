//! The configuration, by the daemon's own judgement: the running one's, and that of `aesyncd --check`.

use aesync_protocol::status::LinkWord;

use super::installed::Checked;
use super::owner::{self, Account};
use super::{Finding, Told};

/// What the finding is called.
const NAME: &str = "configuration";
/// How `aesyncd --check` begins its warning of a daemon that waits for the first sign-in, which is nothing to warn of.
const NO_SERVER: &str = "server.url is not set";

/// `checked` is `None` where the installed daemon can't tell what the running one was started with.
pub(super) fn check(told: &Told, checked: Option<&Result<Checked, String>>, account: Option<&Account>) -> Vec<Finding> {
    let running = told.status.as_ref().map(|status| match &status.last_error {
        _ if status.server.link != LinkWord::Misconfigured => None,
        Some(error) => Some(error.message.clone()),
        None => Some("configuration, token and server don't fit together".to_owned()),
    });
    if let Some(Some(why)) = &running {
        let why = why.trim_end_matches('.');
        return vec![Finding::broken(NAME, format!("{why}."), "correct aesyncd.toml, then aesyncd --check and aectl reload")];
    }
    match (running, checked) {
        (None, None) => {
            vec![Finding::skipped(
                NAME,
                "aesyncd is not installed beside aectl or on PATH.",
                "install it, or run aesyncd --check",
            )]
        }
        (None, Some(Err(error))) => {
            vec![Finding::skipped(NAME, format!("Running aesyncd --check failed: {error}."), "run it by hand")]
        }
        (Some(_), None | Some(Err(_))) => vec![Finding::ok(NAME, "The daemon works by its configuration.")],
        (running, Some(Ok(checked))) => by_check(checked, running.is_some(), account),
    }
}

fn by_check(checked: &Checked, is_running: bool, account: Option<&Account>) -> Vec<Finding> {
    let step = if is_running {
        "correct it, then aesyncd --check and aectl reload; the running daemon goes on by the old one"
    } else {
        "correct it, then aesyncd --check"
    };
    let mut findings: Vec<_> = checked.errors.iter().map(|error| Finding::broken(NAME, sentence(error), step)).collect();
    let warned = checked.warnings.iter().filter(|warning| !warning.starts_with(NO_SERVER)).map(|warning| {
        match warning.rsplit_once("; run: ") {
            Some((what, next)) => Finding::warning(NAME, sentence(what), next),
            None => Finding::warning(NAME, sentence(warning), "correct it, then aesyncd --check"),
        }
    });
    findings.extend(warned);
    findings.extend(checked.file().and_then(|file| owner::of_configuration(NAME, file, account)));
    if findings.is_empty() {
        let message = match checked.file() {
            Some(file) => format!("{} is good.", file.display()),
            None => "There is no file, and none is needed: the defaults are good.".to_owned(),
        };
        findings.push(Finding::ok(NAME, message));
    }
    findings
}

fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_daemon_that_waits_for_its_first_sign_in_is_well_configured() {
        let checked = Checked {
            summary: Some("ok: configuration (defaults), server (none), socket /s, state /d".to_owned()),
            warnings: vec!["server.url is not set: the daemon syncs only once somebody has named a server".to_owned()],
            errors: Vec::new(),
        };
        let found = check(&Told::default(), Some(&Ok(checked)), None);
        assert_eq!((found.len(), found[0].level), (1, Level::Ok), "{found:?}");
    }

    #[test]
    fn what_check_says_is_passed_on_with_what_to_do() {
        let checked = Checked {
            summary: None,
            warnings: vec!["every user may read /t (mode 0644); run: chmod o= /t".to_owned()],
            errors: vec!["/f:2: there is no key sync.intervall".to_owned()],
        };
        let found = check(&Told::default(), Some(&Ok(checked)), None);
        let told: Vec<_> = found.iter().map(|one| (one.level, one.message.as_str(), one.next.as_deref())).collect();
        assert_eq!(
            told,
            [
                (Level::Broken, "/f:2: there is no key sync.intervall.", Some("correct it, then aesyncd --check")),
                (Level::Warning, "every user may read /t (mode 0644).", Some("chmod o= /t")),
            ]
        );
    }
}
