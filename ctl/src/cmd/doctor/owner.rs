//! Who may do what with the daemon's files, and who should.

use std::path::Path;

use super::Finding;

/// The user that the daemon runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) id: u32,
    pub(super) name: String,
}

#[cfg(unix)]
pub(super) use unix::{account, of_configuration, of_state};

#[cfg(unix)]
mod unix {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt as _;

    use aesync_protocol::endpoint::Scope;
    use nix::unistd::{Gid, Group, Uid, User};

    use super::{Account, Finding, Path};
    use crate::keeper::{Keeper, is_root};

    /// The user that the package creates for the service.
    const SERVICE_USER: &str = "aesync";

    /// By its process, else by whose unit it is; `None` when that can't be told.
    pub(in super::super) fn account(pid: Option<u32>, keeper: &Keeper) -> Option<Account> {
        let running =
            pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok()).and_then(|status| user_in(&status));
        let id = match (running, keeper.scope) {
            (Some(id), _) => Uid::from_raw(id),
            (None, Some(Scope::System)) => User::from_name(SERVICE_USER).ok()??.uid,
            (None, _) if is_root() => return None,
            (None, _) => Uid::effective(),
        };
        Some(Account { id: id.as_raw(), name: name_of(id.as_raw()) })
    }

    /// The effective user of a process, by `/proc/PID/status`.
    fn user_in(status: &str) -> Option<u32> {
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        ids.split_whitespace().nth(1)?.parse().ok()
    }

    fn name_of(id: u32) -> String {
        let user = User::from_uid(Uid::from_raw(id)).ok().flatten();
        user.map_or_else(|| id.to_string(), |user| user.name)
    }

    /// What is wrong with the state directory, of which the daemon is the only reader and writer.
    pub(in super::super) fn of_state(
        check: &'static str,
        dir: &Path,
        found: &Metadata,
        account: Option<&Account>,
    ) -> Option<Finding> {
        let (shown, mode) = (dir.display(), found.mode() & 0o7777);
        let account = account.filter(|account| account.id != 0);
        if let Some(account) = account.filter(|account| account.id != found.uid()) {
            let (owner, name) = (name_of(found.uid()), &account.name);
            return Some(Finding::broken(
                check,
                format!("{shown} belongs to {owner}, and the daemon, which runs as {name}, can't write there."),
                format!("chown -R {name}: {shown}"),
            ));
        }
        if account.is_some() && mode & 0o700 != 0o700 {
            return Some(Finding::broken(
                check,
                format!("The daemon can't write to {shown} (mode {mode:04o})."),
                format!("chmod 700 {shown}"),
            ));
        }
        (mode & 0o077 != 0).then(|| {
            Finding::warning(
                check,
                format!("Others may look into {shown} (mode {mode:04o}), where the token and the replica are."),
                format!("chmod 700 {shown}"),
            )
        })
    }

    /// What is wrong with who may read and write the configuration.
    pub(in super::super) fn of_configuration(check: &'static str, file: &Path, account: Option<&Account>) -> Option<Finding> {
        let found = std::fs::metadata(file).ok()?;
        let (shown, mode) = (file.display(), found.mode() & 0o7777);
        if let Some(account) = account.filter(|account| !may_read(&found, account)) {
            return Some(Finding::broken(
                check,
                format!("The daemon, which runs as {}, may not read {shown} (mode {mode:04o}).", account.name),
                format!("chmod a+r {shown}: secrets have files of their own"),
            ));
        }
        let trusted = [0, Uid::effective().as_raw(), account.map_or(0, |account| account.id)];
        if !trusted.contains(&found.uid()) {
            return Some(Finding::warning(
                check,
                format!("{shown} belongs to {}, who thus decides whom the daemon trusts.", name_of(found.uid())),
                format!("chown root: {shown}"),
            ));
        }
        (mode & 0o022 != 0).then(|| {
            Finding::warning(
                check,
                format!("Others may write to {shown} (mode {mode:04o}), and decide whom the daemon trusts."),
                format!("chmod go-w {shown}"),
            )
        })
    }

    fn may_read(found: &Metadata, account: &Account) -> bool {
        let user = || User::from_uid(Uid::from_raw(account.id)).ok().flatten();
        let in_group = || {
            user().is_some_and(|user| user.gid.as_raw() == found.gid())
                || Group::from_gid(Gid::from_raw(found.gid()))
                    .ok()
                    .flatten()
                    .is_some_and(|group| group.mem.contains(&account.name))
        };
        let bit = if found.uid() == account.id {
            0o400
        } else if in_group() {
            0o040
        } else {
            0o004
        };
        account.id == 0 || found.mode() & bit != 0
    }

    #[cfg(test)]
    mod tests {
        use std::os::unix::fs::PermissionsExt as _;

        use super::super::super::Level;
        use super::*;

        fn with_mode(path: &Path, mode: u32) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("one's own");
        }

        /// Somebody who owns nothing here, and is in no group.
        fn stranger() -> Account {
            Account { id: 54_321, name: "54321".to_owned() }
        }

        #[test]
        fn a_state_that_others_may_enter_or_the_daemon_may_not_is_found() {
            let dir = tempfile::tempdir().expect("a directory");
            let own = dir.path().metadata().expect("there").uid();
            // Root may do all things, whatever the mode says: then there is nothing to find but others' rights.
            let daemon = Account { id: own, name: "me".to_owned() };
            let found = |mode, account: &Account| {
                with_mode(dir.path(), mode);
                of_state("state", dir.path(), &dir.path().metadata().expect("there"), Some(account))
            };
            assert_eq!(found(0o700, &daemon), None);
            let open = found(0o755, &daemon).expect("a finding");
            assert_eq!((open.level, open.next), (Level::Warning, Some(format!("chmod 700 {}", dir.path().display()))));
            let closed = found(0o500, &daemon);
            assert_eq!(closed.map(|finding| finding.level), (own != 0).then_some(Level::Broken));
            let foreign = found(0o700, &stranger()).expect("a finding");
            assert_eq!((foreign.level, foreign.next), (Level::Broken, Some(format!("chown -R 54321: {}", dir.path().display()))));
        }

        #[test]
        fn a_configuration_that_the_daemon_may_not_read_or_others_may_write_is_found() {
            let dir = tempfile::tempdir().expect("a directory");
            let file = dir.path().join("aesyncd.toml");
            std::fs::write(&file, "").expect("written");
            for (mode, account, level, part) in [
                (0o644, Some(stranger()), None, ""),
                (0o600, None, None, ""),
                (0o600, Some(stranger()), Some(Level::Broken), "chmod a+r "),
                (0o666, None, Some(Level::Warning), "chmod go-w "),
            ] {
                with_mode(&file, mode);
                let found = of_configuration("configuration", &file, account.as_ref());
                assert_eq!(found.as_ref().map(|finding| finding.level), level, "{mode:o}");
                assert!(found.is_none_or(|finding| finding.next.is_some_and(|next| next.starts_with(part))), "{mode:o}");
            }
        }

        #[test]
        fn a_process_is_its_effective_user() {
            assert_eq!(user_in("Name:\ta\nUid:\t1\t2\t3\t4\nGid:\t9\n"), Some(2));
            assert_eq!(user_in(""), None);
        }
    }
}

#[cfg(not(unix))]
pub(super) fn account(_: Option<u32>, _: &crate::keeper::Keeper) -> Option<Account> {
    None
}

#[cfg(not(unix))]
pub(super) fn of_state(_: &'static str, _: &Path, _: &std::fs::Metadata, _: Option<&Account>) -> Option<Finding> {
    None
}

#[cfg(not(unix))]
pub(super) fn of_configuration(_: &'static str, _: &Path, _: Option<&Account>) -> Option<Finding> {
    None
}
