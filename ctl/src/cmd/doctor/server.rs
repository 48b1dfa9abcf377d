//! The far end of the chain: the server, the link to it, the clocks and the sign-in.

use aesync_protocol::request::PullPending;
use aesync_protocol::response::{PendingPulled, Role};
use aesync_protocol::status::{AuthWord, LinkWord, Transport};
use aesync_protocol::{Status, Timestamp};
use serde_json::Value;

use super::installed::{Asked, Installed, Probed};
use super::{Finding, Told};
use crate::context::{Context, REMOTE, parse};
use crate::output::now;
use crate::text::{clean, span, until};

/// Apart by more than this, rows can be missed and tokens misjudged.
const SKEW: i64 = 5_000;

pub(super) fn check(context: &Context, told: &Told, installed: Option<&Installed<'_>>) -> Vec<Finding> {
    let status = told.status.as_ref();
    let url = status.map(|status| status.server.url.as_str());
    let (mut findings, probed) = match (url, installed) {
        (Some(""), _) => (vec![Finding::skipped("server", "No server is named yet.", "aectl login")], Probed::default()),
        (_, None) => {
            let missing = "aesyncd is not installed beside aectl or on PATH, so that the way to the server can't be tried.";
            (vec![Finding::skipped("server", missing, "install it")], Probed::default())
        }
        (url, Some(installed)) => match installed.probe(url, context.patience(REMOTE)) {
            Ok(probed) => (vec![reachable(&probed)], probed),
            Err(error) => {
                let message = format!("Trying the way to the server failed: {}.", error.trim_end_matches('.'));
                (
                    vec![Finding::skipped(
                        "server",
                        message,
                        "correct the configuration; update aesyncd if it is older than this aectl",
                    )],
                    Probed::default(),
                )
            }
        },
    };
    let health = match &probed.health {
        Some(Asked::Answered(health)) => Some(health),
        _ => None,
    };
    findings.extend(status.map(link));
    findings.push(websocket(status, &probed));
    findings.push(clock(context, told, health.and_then(|health| health.ahead_ms)));
    findings.push(match status {
        Some(status) => sign_in(status, told.configuration.as_ref(), now()),
        None => Finding::skipped("sign-in", "Only the running daemon knows who is signed in.", "start it first"),
    });
    findings
}

fn reachable(probed: &Probed) -> Finding {
    let Some(url) = &probed.url else {
        return Finding::skipped("server", "No server is named yet.", "aectl login, once the daemon runs");
    };
    match &probed.health {
        Some(Asked::Answered(health)) => {
            Finding::ok("server", format!("{} answers after {} ms (GET /health).", clean(url), health.took_ms))
        }
        Some(Asked::Failed(why)) => Finding::broken(
            "server",
            format!("{} does not answer: {why}.", clean(url)),
            if why.contains("certificate") {
                "check its certificate; if a private authority signed it, name that in server.ca_file"
            } else {
                "check the address, the network and the server"
            },
        ),
        None => Finding::skipped("server", "The probe told nothing of the server.", "update aesyncd"),
    }
}

fn link(status: &Status) -> Finding {
    let error = status.last_error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
    match status.server.link {
        LinkWord::Online => Finding::ok("link", "The daemon is connected and signed in."),
        _ if status.paused => Finding::warning("link", "The daemon is paused.", "aectl resume"),
        LinkWord::Connecting | LinkWord::Authenticating => {
            Finding::warning("link", format!("The daemon is connecting{error}."), "look again in a few seconds")
        }
        LinkWord::Backoff => Finding::broken(
            "link",
            format!("The daemon waits before it tries again{error}."),
            "see aectl status for the next try",
        ),
        LinkWord::SignedOut => Finding::broken("link", "Nobody is signed in.", "aectl login"),
        LinkWord::AuthRequired => Finding::broken("link", format!("The server does not take the sign-in{error}."), "aectl login"),
        LinkWord::Misconfigured => Finding::broken(
            "link",
            format!("Configuration and server don't fit{error}."),
            "correct aesyncd.toml, then aectl reload",
        ),
    }
}

fn websocket(status: Option<&Status>, probed: &Probed) -> Finding {
    const LET_PASS: &str =
        "let proxies and firewalls pass Upgrade: websocket to the server; until then changes arrive by polling";
    let transport = status.and_then(|status| status.server.transport);
    let (health, is_reached) = match &probed.health {
        Some(Asked::Answered(health)) => (Some(health), true),
        _ => (None, false),
    };
    match (transport, &probed.websocket) {
        (Some(Transport::Websocket), _) => Finding::ok("websocket", "Notifications arrive over a websocket."),
        _ if health.is_some_and(|health| health.offers_websocket == Some(false)) => Finding::warning(
            "websocket",
            "The server does not offer websockets.",
            "switch them on there; until then changes arrive by polling",
        ),
        (Some(Transport::Http), Some(Asked::Answered(_))) => {
            Finding::ok("websocket", "A websocket passes; the daemon, which polls, takes it with its next connection.")
        }
        (None, Some(Asked::Answered(_))) => Finding::ok("websocket", "A websocket passes."),
        (_, Some(Asked::Failed(why))) if is_reached => {
            Finding::warning("websocket", format!("Something on the way blocks websockets: {why}."), LET_PASS)
        }
        (Some(Transport::Http), _) => {
            Finding::warning("websocket", "Something on the way blocks websockets: the daemon polls.", LET_PASS)
        }
        (None, _) => {
            Finding::skipped("websocket", "Without a server it can't be told whether websockets pass.", "reach the server first")
        }
    }
}

/// The difference of the clocks: from the server's health, or from an answer to the daemon.
fn clock(context: &Context, told: &Told, ahead: Option<i64>) -> Finding {
    let online = told.status.as_ref().is_some_and(|status| status.server.link == LinkWord::Online);
    let ahead = ahead.or_else(|| if online && told.role >= Some(Role::Operator) { ahead_by_answer(context, told) } else { None });
    skew(ahead)
}

fn ahead_by_answer(context: &Context, told: &Told) -> Option<i64> {
    let entity_types = told.status.as_ref()?.types.keys().next().map(|name| vec![name.clone()]);
    let before = now();
    let json = context.fetch(&PullPending { entity_types }, REMOTE).ok()?;
    let pulled: PendingPulled = parse("pullPending", &json).ok()?;
    Some(pulled.sync_timestamp.millis_since(middle(before, now())))
}

/// Half of a round trip is the best guess at when the server looked at its clock.
fn middle(before: Timestamp, after: Timestamp) -> Timestamp {
    before.plus_millis(after.millis_since(before) / 2)
}

fn skew(ahead: Option<i64>) -> Finding {
    let Some(ahead) = ahead else {
        return Finding::skipped(
            "clock",
            "The server did not tell its time.",
            "mend the link first, or compare `date -u` on both",
        );
    };
    let apart = span(ahead.abs());
    match ahead {
        _ if ahead.abs() <= SKEW => Finding::ok("clock", format!("This clock and the server's are {} ms apart.", ahead.abs())),
        1.. => Finding::warning(
            "clock",
            format!("This clock is {apart} behind the server's."),
            "set the clock: timedatectl set-ntp true",
        ),
        _ => Finding::warning(
            "clock",
            format!("This clock is {apart} ahead of the server's."),
            "set the clock: timedatectl set-ntp true",
        ),
    }
}

fn sign_in(status: &Status, configuration: Option<&Value>, now: Timestamp) -> Finding {
    let expiry = status.auth.expires_at.map(|at| until(now, at));
    let configured = |key: &str| configuration.and_then(|shown| shown.get("auth")?.get(key)?.as_str());
    let renew = match (configured("token_file"), configured("password_file")) {
        (Some(file), _) => format!("put a fresh token into {file}, or aectl login"),
        (None, Some(_)) => "nothing, if the configured password is right: the daemon renews it; else aectl login".to_owned(),
        (None, None) => "aectl login".to_owned(),
    };
    match (status.auth.state, expiry) {
        (AuthWord::Valid, Some(expiry)) => Finding::ok("sign-in", format!("The token expires {expiry}.")),
        (AuthWord::Valid, None) => Finding::ok("sign-in", "The token is good, and does not say until when."),
        (AuthWord::Expiring, expiry) => {
            Finding::warning("sign-in", format!("The token expires {}.", expiry.as_deref().unwrap_or("soon")), renew)
        }
        (AuthWord::Expired, _) => Finding::broken("sign-in", "The token has expired.", renew),
        (AuthWord::Rejected, _) => Finding::broken("sign-in", "The server refuses the token.", renew),
        (AuthWord::None, _) => Finding::broken("sign-in", "There is no token.", renew),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::installed::{Health, Upgraded};
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told_with_the_direction() {
        for (ahead, level, said) in [
            (Some(0), Level::Ok, "0 ms apart"),
            (Some(-5_000), Level::Ok, "5000 ms apart"),
            (Some(5_001), Level::Warning, "5 s behind"),
            (Some(-120_000), Level::Warning, "2 min ahead"),
            (None, Level::Skipped, "did not tell"),
        ] {
            let finding = skew(ahead);
            assert_eq!(finding.level, level, "{ahead:?}");
            assert!(finding.message.contains(said), "{}", finding.message);
        }
    }

    #[test]
    fn a_websocket_that_does_not_pass_is_told_from_a_server_that_is_not_there() {
        let health = |offers_websocket| Some(Asked::Answered(Health { took_ms: 1, ahead_ms: None, offers_websocket }));
        let failed = || Some(Asked::Failed("no".to_owned()));
        for (health, websocket, level) in [
            (health(Some(true)), Some(Asked::Answered(Upgraded {})), Level::Ok),
            (health(Some(false)), failed(), Level::Warning),
            (health(None), failed(), Level::Warning),
            (Some(Asked::Failed("down".to_owned())), failed(), Level::Skipped),
            (None, None, Level::Skipped),
        ] {
            let probed = Probed { url: None, health, websocket };
            assert_eq!(websocket_of(&probed).level, level, "{probed:?}");
        }
    }

    fn websocket_of(probed: &Probed) -> Finding {
        websocket(None, probed)
    }
}
