//! What is asked of the system, and differs between systems.

use std::io;
use std::path::Path;

/// Whether a daemon could listen at the path, by what is there.
#[cfg(unix)]
pub(super) fn is_socket(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt as _;
    Ok(std::fs::symlink_metadata(path)?.file_type().is_socket())
}

/// By its name: to look at a pipe is to connect to it.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "the same signature on each system")]
pub(super) fn is_socket(path: &Path) -> io::Result<bool> {
    Ok(path.as_os_str().to_string_lossy().starts_with(r"\\.\pipe\"))
}

/// What is free for this user on the disk that holds the path, in bytes.
#[cfg(unix)]
pub(super) fn free_space(path: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Nobody asks Windows yet.
#[cfg(windows)]
pub(super) fn free_space(_: &Path) -> io::Result<u64> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "it is not known how on this system"))
}
