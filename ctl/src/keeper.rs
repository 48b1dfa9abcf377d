//! Who keeps the daemon that is meant running, in the words of the system: its unit, or whoever started it by hand.

use std::path::{Path, PathBuf};

use aesync_protocol::endpoint::{self, DEFAULT_INSTANCE, Environment, Scope};

/// Which daemon, and what keeps it running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keeper {
    /// `default` for the one that has no name of its own.
    pub(crate) instance: String,
    /// Whose unit it is; `None` when it listens where no unit lets it listen.
    pub(crate) scope: Option<Scope>,
    socket: PathBuf,
}

impl Keeper {
    /// By where it is looked for, and the instance that was asked for.
    pub(crate) fn of(socket: &Path, instance: Option<&str>) -> Self {
        Self::by(socket, instance, &Environment::of_this_process(), is_root())
    }

    fn by(socket: &Path, instance: Option<&str>, environment: &Environment, is_root: bool) -> Self {
        let asked = instance.unwrap_or(DEFAULT_INSTANCE).to_owned();
        let (scope, instance) = match endpoint::usual_at(socket, environment) {
            // Root's own services are the system's.
            Some((Scope::User, name)) if is_root => (Some(Scope::System), name),
            Some((scope, name)) => (Some(scope), name),
            None => (None, asked),
        };
        Self { instance, scope, socket: socket.to_owned() }
    }

    /// The same, when its process is known: the system tells which unit that belongs to.
    pub(crate) fn with_process(self, pid: u32, instance: &str) -> Self {
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let scope = scope_in(&cgroup).or(self.scope);
        Self { instance: instance.to_owned(), scope, ..self }
    }

    /// The name, if it has one of its own.
    pub(crate) fn named(&self) -> Option<&str> {
        (self.instance != DEFAULT_INSTANCE).then_some(&*self.instance)
    }

    /// The unit, and whether it is one of the user's manager.
    pub(crate) fn unit(&self) -> Option<(String, bool)> {
        match (self.scope?, self.named()) {
            _ if !cfg!(target_os = "linux") => None,
            (Scope::System, Some(name)) => Some((format!("aesyncd@{name}"), false)),
            (Scope::System, None) => Some(("aesyncd".to_owned(), false)),
            (Scope::User, None) => Some(("aesyncd".to_owned(), true)),
            // There is no template among the user's units.
            (Scope::User, Some(_)) => None,
        }
    }

    /// `aesyncd --instance NAME`, as it is run by hand.
    pub(crate) fn program(&self) -> String {
        match (self.named(), self.scope) {
            (Some(name), _) => format!("aesyncd --instance {name}"),
            (None, Some(_)) => "aesyncd".to_owned(),
            (None, None) => format!("aesyncd --socket {}", self.socket.display()),
        }
    }

    /// What starts it.
    pub(crate) fn start(&self) -> String {
        self.systemctl("start").unwrap_or_else(|| self.by_hand("sc start aesyncd"))
    }

    /// What starts it anew.
    pub(crate) fn restart(&self) -> String {
        self.systemctl("restart").unwrap_or_else(|| format!("stop it, then {}", self.by_hand("sc start aesyncd")))
    }

    /// What it told of itself.
    pub(crate) fn log(&self) -> String {
        match self.unit() {
            Some((unit, user)) => format!("journalctl {}-u {unit} -n 30", if user { "--user " } else { "" }),
            None => "what it writes to stderr".to_owned(),
        }
    }

    fn systemctl(&self, verb: &str) -> Option<String> {
        let (unit, user) = self.unit()?;
        Some(format!("systemctl {}{verb} {unit}", if user { "--user " } else { "" }))
    }

    fn by_hand(&self, windows: &str) -> String {
        if cfg!(windows) && self.scope.is_some() { windows.to_owned() } else { self.program() }
    }

    /// The configuration of the system's daemon; a user's own is where that user's environment says.
    pub(crate) fn system_configuration(&self) -> PathBuf {
        Path::new("/etc/aesyncd").join(self.configuration())
    }

    /// The state of the system's daemon, when nobody chose another place.
    pub(crate) fn system_state(&self) -> PathBuf {
        let state = Path::new("/var/lib/aesyncd");
        self.named().map_or_else(|| state.to_owned(), |name| state.join("instances").join(name))
    }

    /// What its configuration file is called.
    fn configuration(&self) -> String {
        format!("{}.toml", self.named().unwrap_or("aesyncd"))
    }

    /// Advice that is written for the daemon without a name, for this one.
    pub(crate) fn addressed(&self, advice: &str) -> String {
        let Some(name) = self.named() else { return advice.to_owned() };
        advice
            .replace("aectl ", &format!("aectl --instance {name} "))
            .replace("aesyncd --check", &format!("aesyncd --instance {name} --check"))
            .replace("aesyncd.toml", &self.configuration())
    }
}

/// Whose manager runs it, by the line of version 2 in `/proc/PID/cgroup`.
fn scope_in(cgroup: &str) -> Option<Scope> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    let is_own = unit.starts_with("aesyncd.") || unit.starts_with("aesyncd@");
    is_own.then_some(if path.contains("/user@") { Scope::User } else { Scope::System })
}

#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn keeper(path: &str, instance: Option<&str>, is_root: bool) -> Keeper {
        let environment = Environment { socket: None, runtime_dir: Some("/run/user/7".into()) };
        Keeper::by(Path::new(path), instance, &environment, is_root)
    }

    #[test]
    fn each_daemon_is_started_and_read_about_by_its_own_unit() {
        for (path, instance, is_root, start, restart, log) in [
            (
                "/run/aesyncd/aesyncd.sock",
                None,
                false,
                "systemctl start aesyncd",
                "systemctl restart aesyncd",
                "journalctl -u aesyncd -n 30",
            ),
            (
                "/run/aesyncd/shop.sock",
                Some("shop"),
                true,
                "systemctl start aesyncd@shop",
                "systemctl restart aesyncd@shop",
                "journalctl -u aesyncd@shop -n 30",
            ),
            (
                "/run/user/7/aesyncd/aesyncd.sock",
                None,
                false,
                "systemctl --user start aesyncd",
                "systemctl --user restart aesyncd",
                "journalctl --user -u aesyncd -n 30",
            ),
            (
                "/run/user/7/aesyncd/shop.sock",
                Some("shop"),
                false,
                "aesyncd --instance shop",
                "stop it, then aesyncd --instance shop",
                "what it writes to stderr",
            ),
            (
                "/tmp/s",
                None,
                false,
                "aesyncd --socket /tmp/s",
                "stop it, then aesyncd --socket /tmp/s",
                "what it writes to stderr",
            ),
        ] {
            let keeper = keeper(path, instance, is_root);
            assert_eq!((&*keeper.start(), &*keeper.restart(), &*keeper.log()), (start, restart, log), "{path}");
        }
        assert_eq!(keeper("/run/user/7/aesyncd/aesyncd.sock", None, true).start(), "systemctl start aesyncd");
    }

    #[test]
    fn the_cgroup_tells_whose_manager_runs_it() {
        for (cgroup, expected) in [
            ("0::/system.slice/aesyncd.service\n", Some(Scope::System)),
            ("0::/system.slice/system-aesyncd.slice/aesyncd@shop.service\n", Some(Scope::System)),
            ("0::/user.slice/user-7.slice/user@7.service/app.slice/aesyncd.service\n", Some(Scope::User)),
            ("0::/user.slice/user-7.slice/session-2.scope\n", None),
            ("0::/user.slice/user-7.slice/user@7.service/app.slice/other.scope\n", None),
            ("1:name=systemd:/\n", None),
            ("", None),
        ] {
            assert_eq!(scope_in(cgroup), expected, "{cgroup}");
        }
    }

    #[test]
    fn advice_names_the_instance_and_its_files() {
        let shop = keeper("/run/aesyncd/shop.sock", Some("shop"), true);
        for (written, said) in [
            ("aectl login", "aectl --instance shop login"),
            ("see `aectl conflicts`", "see `aectl --instance shop conflicts`"),
            (
                "correct aesyncd.toml, then aesyncd --check and aectl reload",
                "correct shop.toml, then aesyncd --instance shop --check and aectl --instance shop reload",
            ),
            ("update aesyncd if it is older than this aectl", "update aesyncd if it is older than this aectl"),
        ] {
            assert_eq!(shop.addressed(written), said);
            assert_eq!(keeper("/run/aesyncd/aesyncd.sock", None, true).addressed(written), written);
        }
        assert_eq!(shop.system_configuration(), Path::new("/etc/aesyncd/shop.toml"));
        assert_eq!(shop.system_state(), Path::new("/var/lib/aesyncd/instances/shop"));
    }
}
