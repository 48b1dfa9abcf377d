//! The C library's memory allocator, told to keep little.
//!
//! glibc gives threads heaps of their own, and what one thread frees of another one's heap stays with the process. With the store's
//! threads that was as much again as all that is in use. The setting can be made in the environment alone, before the process begins:
//! so the process begins once more, with the same number and the same open files.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What is set: one heap for all threads, and large pieces given back as soon as they are free.
const SETTINGS: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "65536")];

/// Begins the process once more when nothing is set; what a person has set is left alone. When that fails, the daemon only needs more
/// memory, so it goes on.
pub fn keep_memory_together() {
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| OsString::from("aesyncd"));
    let Ok(program) = std::env::current_exe() else { return };
    // It returns only when it failed.
    let _ = Command::new(program).arg0(name).args(words).envs(SETTINGS).exec();
}
