//! The far end of the chain: the server, the link to it, the clocks and the sign-in.

use std::time::Duration;

use aesync_protocol::request::PullPending;
use aesync_protocol::response::{PendingPulled, Role};
use aesync_protocol::status::{AuthWord, LinkWord, Transport};
use aesync_protocol::{Status, Timestamp};

use super::{Finding, Told, health};
use crate::context::{Context, REMOTE, parse};
use crate::output::now;
use crate::text::{clean, span, until};

/// Apart by more than this, rows can be missed and tokens misjudged.
const SKEW: i64 = 5_000;

pub(super) fn check(context: &Context, told: &Told) -> Vec<Finding> {
    let configured = std::env::var("AESYNC_SERVER__URL").ok();
    let Some(url) = told.status.as_ref().map(|status| status.server.url.clone()).or(configured).filter(|url| !url.is_empty())
    else {
        return vec![Finding::skipped(
            "server",
            "Which server is meant is only known to the daemon.",
            "start it, or set server.url",
        )];
    };
    let health = health::ask(&url, context.patience(health::PATIENCE));
    let mut findings = vec![reachable(&url, &health)];
    let Some(status) = &told.status else { return findings };
    findings.push(link(status));
    findings.push(websocket(status, health.as_ref().ok().and_then(|health| health.websocket)));
    findings.push(clock(context, told, health.as_ref().ok().and_then(|health| health.ahead)));
    findings.push(sign_in(status, now()));
    findings
}

fn reachable(url: &str, health: &Result<health::Health, String>) -> Finding {
    match health {
        Ok(health) => {
            Finding::ok("server", format!("{} answers after {} ms ({}).", clean(url), health.took.as_millis(), health.how))
        }
        Err(error) => Finding::broken(
            "server",
            format!("{} does not answer: {error}.", clean(url)),
            "check the address, the network and the server",
        ),
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

fn websocket(status: &Status, offered: Option<bool>) -> Finding {
    match (status.server.transport, offered) {
        (Some(Transport::Websocket), _) => Finding::ok("websocket", "Notifications arrive over a websocket."),
        (_, Some(false)) => Finding::warning(
            "websocket",
            "The server does not offer websockets.",
            "switch them on there; until then changes arrive by polling",
        ),
        (Some(Transport::Http), _) => Finding::warning(
            "websocket",
            "Something on the way blocks websockets: the daemon polls.",
            "let proxies and firewalls pass Upgrade: websocket to the server",
        ),
        (None, _) => {
            Finding::skipped("websocket", "Without a connection it can't be told whether websockets pass.", "mend the link first")
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
pub(super) fn middle(before: Timestamp, after: Timestamp) -> Timestamp {
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

fn sign_in(status: &Status, now: Timestamp) -> Finding {
    let expiry = status.auth.expires_at.map(|at| until(now, at));
    match (status.auth.state, expiry) {
        (AuthWord::Valid, Some(expiry)) => Finding::ok("sign-in", format!("The token expires {expiry}.")),
        (AuthWord::Valid, None) => Finding::ok("sign-in", "The token is good, and does not say until when."),
        (AuthWord::Expiring, expiry) => {
            Finding::warning("sign-in", format!("The token expires {}.", expiry.unwrap_or_default()), "aectl login")
        }
        (AuthWord::Expired, _) => Finding::broken("sign-in", "The token has expired.", "aectl login"),
        (AuthWord::Rejected, _) => Finding::broken("sign-in", "The server refuses the token.", "aectl login"),
        (AuthWord::None, _) => Finding::broken("sign-in", "There is no token.", "aectl login, or set auth.token_file"),
    }
}

/// For the deadline of a probe.
pub(super) const fn at_most(patience: Duration, limit: Duration) -> Duration {
    if patience.as_nanos() < limit.as_nanos() { patience } else { limit }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
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
}
