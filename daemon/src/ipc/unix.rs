//! Unix domain sockets: everything that only Unix has.

use std::ffi::CString;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aesync_protocol::endpoint::MAX_PATH;
use aesync_protocol::response::Role;
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{ConnectOptions, GenericFilePath, ListenerOptions, ToFsName as _};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use interprocess::os::unix::uds_local_socket::tokio::{Listener, Stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{self, Gid, Uid, User, getgrouplist};
use tokio::net::UnixStream;

use super::access::{AccessLists, Rules};
use super::listener::BindError;

/// The socket's group, by its number.
pub(super) type Group = u32;

/// A connection. tokio's own type: it asks the kernel for readiness once less for every request than interprocess's wrapper.
pub(super) type Connection = UnixStream;

/// Read and write for the daemon's user and the socket's group.
const MODE: u32 = 0o660;

/// Files that the daemon opens beside its connections, at most: the store's, those to the server, peers that are being refused.
const OWN_FILES: u64 = 128;

/// How long a daemon that holds the socket may take to accept the probe.
const PROBE: Duration = Duration::from_secs(2);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) process: Option<i32>,
}

impl Peer {
    /// Its user's number, for people.
    pub(super) fn uid(self) -> Option<u32> {
        Some(self.user)
    }

    /// Its process's group, for people.
    pub(super) fn gid(self) -> Option<u32> {
        Some(self.group)
    }

    /// Its process, for people.
    pub(super) fn pid(self) -> Option<u32> {
        self.process.and_then(|process| u32::try_from(process).ok())
    }
}

/// The listening socket.
#[derive(Debug)]
pub(super) struct Socket {
    listener: Listener,
    /// The file that goes with the socket, unless it belongs to whoever handed the socket over.
    file: Option<SocketFile>,
    group: Option<u32>,
}

impl Socket {
    /// Binds to a path, in place of a socket that nobody listens to any more.
    pub(super) async fn bind(path: &Path) -> Result<Self, BindError> {
        let length = path.as_os_str().as_bytes().len();
        if length > MAX_PATH {
            return Err(BindError::PathTooLong { path: path.to_owned(), length });
        }
        make_way(path).await?;
        let failed = |source| bind_failed(path, source);
        let name = path.to_fs_name::<GenericFilePath>().map_err(failed)?;
        // The mode here closes the moment before chmod; the umask takes bits away from it, so that chmod is still needed.
        let options = ListenerOptions::new().name(name).reclaim_name(false).mode(libc_mode(MODE));
        let listener: Listener = options.create_tokio_as().map_err(failed)?;
        let file = SocketFile::own(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).map_err(failed)?;
        let group = std::fs::metadata(path).map_err(failed)?.gid();
        Ok(Self { listener, file: Some(file), group: Some(group) })
    }

    /// Takes a listening socket over that systemd opened. Its file stays when the daemon stops.
    pub(super) fn inherit(socket: OwnedFd) -> Result<Self, BindError> {
        let failed = |source| BindError::Inherit { source };
        let address = std::os::unix::net::UnixListener::from(socket.try_clone().map_err(failed)?).local_addr().map_err(failed)?;
        let group = address.as_pathname().and_then(|path| std::fs::metadata(path).ok()).map(|file| file.gid());
        Ok(Self { listener: Listener::try_from(socket).map_err(failed)?, file: None, group })
    }

    pub(super) async fn accept(&self) -> io::Result<(Connection, Peer)> {
        let stream = self.listener.accept().await?;
        let credentials = stream.peer_creds()?;
        let (Some(user), Some(group)) = (credentials.euid(), credentials.egid()) else {
            return Err(io::Error::new(ErrorKind::Unsupported, "the system does not tell who is at the other end of a socket"));
        };
        Ok((stream.into(), Peer { user, group, process: credentials.pid() }))
    }

    /// The socket's group, whose members are operators.
    pub(super) fn group(&self) -> Option<u32> {
        self.group
    }

    /// The path, if the daemon bound to it itself.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }
}

/// A bound socket's file. It goes with the socket, unless another one has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn own(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file could not be removed");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = std::fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes a socket that nobody listens to. Anything else in its place stays.
async fn make_way(path: &Path) -> Result<(), BindError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(bind_failed(path, error)),
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    let name = path.to_fs_name::<GenericFilePath>().map_err(|source| bind_failed(path, source))?;
    let options = ConnectOptions::new().name(name);
    match tokio::time::timeout(PROBE, Stream::from_options(&options)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "removing the socket of a daemon that no longer runs");
            std::fs::remove_file(path).map_err(|source| bind_failed(path, source))
        }
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A full backlog is a daemon's too.
        Ok(Err(error)) if error.kind() != ErrorKind::WouldBlock => Err(BindError::Probe { path: path.to_owned(), source: error }),
        Ok(_) | Err(_) => Err(BindError::AlreadyRunning { path: path.to_owned() }),
    }
}

fn bind_failed(path: &Path, source: io::Error) -> BindError {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => BindError::NoDirectory { path: path.to_owned(), directory },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            BindError::NotWritable { path: path.to_owned(), directory, source }
        }
        _ => BindError::Bind { path: path.to_owned(), source },
    }
}

#[allow(clippy::unnecessary_cast, reason = "mode_t has 16 bits on some systems")]
const fn libc_mode(mode: u32) -> nix::sys::stat::mode_t {
    mode as nix::sys::stat::mode_t
}

/// Resolves the names of `[access]`. Those that the system does not know are left out with a warning: a user who does not exist can't
/// connect either.
pub(super) fn resolve(lists: &AccessLists, socket_group: Option<u32>) -> Rules {
    let mut rules = Rules { own_user: Uid::effective().as_raw(), socket_group, users: Vec::new(), groups: Vec::new() };
    for (names, role) in [(&lists.observers, Role::Observer), (&lists.operators, Role::Operator), (&lists.admins, Role::Admin)] {
        for name in names {
            let (known, ids) = match name.strip_prefix('@') {
                Some(group) => (group_id(group), &mut rules.groups),
                None => (user_id(name), &mut rules.users),
            };
            match known {
                Some(id) => ids.push((id, role)),
                None => tracing::warn!(name, role = role.as_str(), "[access] names somebody whom this system does not know"),
            }
        }
    }
    rules
}

/// Raises the number of files that the process may open to what it may be raised to, and says how many of `wanted` connections fit in
/// beside the daemon's own files. One more would leave the store without a file, and peers without an answer.
pub(super) fn room_for(wanted: usize) -> usize {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::warn!(%error, "how many files the process may open can't be found out");
            return wanted;
        }
    };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "the number of files that the process may open could not be raised");
            soft
        }
    };
    let room = usize::try_from(limit.saturating_sub(OWN_FILES)).unwrap_or(usize::MAX).max(1);
    if room < wanted {
        let needed = OWN_FILES.saturating_add(wanted as u64);
        tracing::warn!(
            "{room} connections are taken at a time and not the {wanted} of ipc.max_connections: the process may open {limit} files; \
             set LimitNOFILE={needed} in the unit, or `ulimit -n {needed}` before the start, or lower ipc.max_connections"
        );
    }
    room.min(wanted)
}

/// Writes what fits into the socket at once, and closes it. tokio would first wait to hear that the socket is writable.
pub(super) fn say_and_close(stream: Connection, text: &[u8]) {
    if let Ok(mut stream) = stream.into_std() {
        // Whoever does not take it has filled the socket, or is gone.
        let _ = stream.write(text);
    }
}

/// Whether the system knows this user, or this group with an `@` before its name. Asks the system's user database and may block.
#[must_use]
pub fn knows(name: &str) -> bool {
    name.strip_prefix('@').map_or_else(|| user_id(name), group_id).is_some()
}

fn user_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| Some(User::from_name(name).ok()??.uid.as_raw()))
}

fn group_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| Some(unistd::Group::from_name(name).ok()??.gid.as_raw()))
}

/// The peer's group and the supplementary groups of its user. Asks the system's user database and may block.
pub(super) fn groups_of(peer: Peer) -> Vec<u32> {
    let mut groups = vec![peer.group];
    let found = User::from_uid(Uid::from_raw(peer.user)).ok().flatten().and_then(|user| {
        let name = CString::new(user.name).ok()?;
        getgrouplist(&name, Gid::from_raw(peer.group)).ok()
    });
    groups.extend(found.into_iter().flatten().map(Gid::as_raw));
    groups
}
