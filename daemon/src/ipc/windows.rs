//! Named pipes: everything that only Windows has.
//!
//! Who gets in is decided by the pipe's access list when a client opens it. Nothing else is known of a peer but its process.

use std::io;
use std::path::{Path, PathBuf};

use aesync_protocol::response::Role;
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::traits::tokio::Listener as _;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName as _};
use interprocess::os::windows::local_socket::ListenerOptionsExt as _;
use interprocess::os::windows::named_pipe::local_socket::tokio::{Listener, Stream};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::U16CString;

use super::access::{AccessLists, Rules};
use super::listener::BindError;

/// A connection.
pub(super) type Connection = Stream;

/// What a listener of [`Audience`] has instead of a group.
pub(super) type Group = Audience;

/// Whom the access list lets in beside SYSTEM, the administrators and the daemon's own user; nobody from the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Nobody else: all peers are admin.
    #[default]
    Own,
    /// Whoever is signed in at this machine: as nobody can tell them apart, all peers are operator.
    SignedIn,
}

impl Audience {
    /// The access list in the security descriptor string format. Those who are signed in may read and write, but not make another
    /// instance of the pipe and so pose as the daemon.
    const fn access_list(self) -> &'static str {
        match self {
            Self::Own => "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)",
            Self::SignedIn => "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)(A;;0x12019b;;;IU)",
        }
    }
}

/// In place of a user's number: the peers whom the access list let in.
const ADMITTED: u32 = 1;
/// No peer has it.
const NOBODY: u32 = u32::MAX;

/// `ERROR_ACCESS_DENIED`: somebody else has the first instance of the pipe.
const TAKEN: i32 = 5;
/// `ERROR_PIPE_BUSY`
const BUSY: i32 = 231;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) process: Option<u32>,
}

impl Peer {
    /// Users of Windows have no such numbers.
    pub(super) fn uid(self) -> Option<u32> {
        None
    }

    /// Nor have their groups.
    pub(super) fn gid(self) -> Option<u32> {
        None
    }

    /// Its process, for people.
    pub(super) fn pid(self) -> Option<u32> {
        self.process
    }
}

/// The listening pipe.
#[derive(Debug)]
pub(super) struct Socket {
    listener: Listener,
    path: PathBuf,
    audience: Audience,
}

impl Socket {
    /// Makes the first instance of the pipe. Its name goes with the process, so that nothing is left behind to be removed.
    #[expect(clippy::unused_async, reason = "the same signature on each system")]
    pub(super) async fn bind(path: &Path, audience: Audience) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.raw_os_error() {
            Some(TAKEN | BUSY) => BindError::AlreadyRunning { path: path.to_owned() },
            _ => BindError::Bind { path: path.to_owned(), source },
        };
        let access_list = U16CString::from_str(audience.access_list()).map_err(|error| failed(io::Error::other(error)))?;
        let descriptor = SecurityDescriptor::deserialize(&access_list).map_err(failed)?;
        let name = path.to_fs_name::<GenericFilePath>().map_err(failed)?;
        let listener = ListenerOptions::new().name(name).security_descriptor(descriptor).create_tokio_as().map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), audience })
    }

    pub(super) async fn accept(&self) -> io::Result<(Connection, Peer)> {
        let stream = self.listener.accept().await?;
        // A client that has gone already has no process any more.
        let process = stream.peer_creds().ok().and_then(|credentials| credentials.pid());
        Ok((stream, Peer { user: ADMITTED, group: NOBODY, process }))
    }

    /// What decides the peers' role.
    pub(super) fn group(&self) -> Option<Group> {
        Some(self.audience)
    }

    /// The pipe's name.
    pub(super) fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// All: a process may open as many pipes as there is memory for.
pub(super) const fn room_for(wanted: usize) -> usize {
    wanted
}

/// Closes the pipe. What is written to it at once would be lost with it: the end of a pipe takes what the peer has not read yet.
pub(super) fn say_and_close(stream: Connection, _: &[u8]) {
    drop(stream);
}

/// Names of `[access]` have no effect here, known or not.
#[must_use]
pub const fn knows(_: &str) -> bool {
    true
}

/// One role for all who get in. The lists of `[access]` name people, and nobody knows who a peer is.
pub(super) fn resolve(lists: &AccessLists, audience: Option<Group>) -> Rules {
    if *lists != AccessLists::default() {
        tracing::warn!("[access] has no effect on Windows: the pipe's access list decides who may connect");
    }
    let (own_user, users) = match audience {
        Some(Audience::Own) => (ADMITTED, Vec::new()),
        Some(Audience::SignedIn) | None => (NOBODY, vec![(ADMITTED, Role::Operator)]),
    };
    Rules { own_user, socket_group: None, users, groups: Vec::new() }
}

/// None: the role follows from having got in.
pub(super) fn groups_of(peer: Peer) -> Vec<u32> {
    vec![peer.group]
}
