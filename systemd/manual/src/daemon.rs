//! `aesyncd(8)`, from the command line.

use clap::CommandFactory as _;
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::page::{entry, heading, see_also};

const FILES: [(&str, &str); 8] = [
    ("/etc/aesyncd/aesyncd.toml", "The configuration; see aesyncd.toml(5). None of it is required."),
    ("/etc/aesyncd/NAME.toml", "The configuration of the instance NAME."),
    ("/etc/credstore/aesyncd.token", "A token to sign in with, as a systemd credential; aesyncd-NAME.token for an instance."),
    ("/run/aesyncd/aesyncd.sock", "The socket; NAME.sock for an instance. Members of the group aesync may use it."),
    ("/var/lib/aesyncd", "The state: the replica, the outbox and the token of a sign-in."),
    ("/var/lib/aesyncd/instances/NAME", "The state of an instance."),
    ("~/.config/aesyncd/aesyncd.toml", "The configuration of a user's own daemon."),
    ("~/.local/state/aesyncd", "The state of a user's own daemon."),
];

const ENVIRONMENT: [(&str, &str); 8] = [
    (
        "AESYNC_SECTION__KEY",
        "Overrides a key of the configuration, such as AESYNC_SERVER__URL for server.url; see aesyncd.toml(5).",
    ),
    ("AESYNC_SOCKET", "The socket, before ipc.socket of the configuration and after --socket. Clients look there as well."),
    ("CREDENTIALS_DIRECTORY", "Set by systemd: a file aesyncd.token in it holds a token to sign in with."),
    ("STATE_DIRECTORY", "Set by systemd: the state directory, where neither --state-dir nor state.dir names one."),
    (
        "XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR",
        "Where a user's own daemon has its configuration, its state and its socket.",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "Set by systemd: where it hears of the state, and how often it wants to hear that the daemon is alive.",
    ),
    ("LISTEN_FDS, LISTEN_PID", "Set by systemd: the socket that aesyncd.socket opened is taken over."),
    ("JOURNAL_STREAM", "Set by systemd: with log.format = \"auto\" the log has the journal's form where stderr is the journal."),
];

const UNITS: [(&str, &str); 4] = [
    (
        "aesyncd.service",
        "The daemon. `systemctl status aesyncd` shows the sync state, `systemctl reload aesyncd` reads the configuration again.",
    ),
    (
        "aesyncd.socket",
        "Optional: systemd holds the socket, and clients that connect while the daemon restarts wait instead of being refused. To switch it \
         on: systemctl stop aesyncd; systemctl enable --now aesyncd.socket; systemctl start aesyncd",
    ),
    (
        "aesyncd@NAME.service",
        "An instance, for another server or tenant on the same machine, with a configuration, a state and a socket of its own. \
         `aectl --instance NAME` talks to it.",
    ),
    (
        "aesyncd.service of systemctl --user",
        "A user's own daemon, which is found by clients where no system daemon runs. Of the home it sees ~/.local/state/aesyncd and \
         ~/.config/aesyncd alone; for a file elsewhere in it that the configuration names, a drop-in has BindReadOnlyPaths=.",
    ),
];

const FIRST_RUN: &str = "Installed and not configured, the daemon runs and waits for somebody to sign in: `aectl login` asks for the server, \
    the e-mail address and the password, as root or as one of [access] admins. The daemon remembers the server and the token. \
    Where the configuration names a server, that one counts.";

/// The page.
pub(crate) fn page() -> std::io::Result<String> {
    let man = Man::new(aesyncd::args::Args::command()).section("8").manual("").source(format!("aesync {}", crate::VERSION));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    man.render_extra_section(&mut text)?;
    let mut roff = Roff::new();
    heading(&mut roff, "FIRST RUN");
    roff.text([roman(FIRST_RUN)]);
    heading(&mut roff, "UNITS");
    for (unit, about) in UNITS {
        entry(&mut roff, unit, about);
    }
    heading(&mut roff, "ENVIRONMENT");
    for (variable, about) in ENVIRONMENT {
        entry(&mut roff, variable, about);
    }
    heading(&mut roff, "FILES");
    for (file, about) in FILES {
        entry(&mut roff, file, about);
    }
    see_also(&mut roff, &["aectl(1)", "aesyncd.toml(5)", "aesync-ipc(7)", "systemd.service(5)", "systemd.exec(5)"]);
    Ok(String::from_utf8_lossy(&text).into_owned() + &roff.render())
}
