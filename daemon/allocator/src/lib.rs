//! The C library's memory allocator, told to keep little.
//!
//! glibc gives each thread a heap of its own, what one thread frees of another one's heap stays with the process, and so do the pages between
//! two pieces that are in use. For a daemon that once read a large answer this is more than all that it needs. Where the C library is
//! another one, nothing here does anything.
//!
//! A crate of its own, so that every other one can forbid unsafe code.

/// Sets two heaps for all threads, one of which the store's thread has nearly to itself (they waited for one another with a single one), and
/// gives pieces of 1 MiB and more back as soon as they are free. To be called once, before there is a second thread. What a person has set in the environment (`MALLOC_ARENA_MAX`, `MALLOC_MMAP_THRESHOLD_`) is left alone.
pub fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (name, parameter, value) in
        [("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, 2), ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, 1024 * 1024)]
    {
        if std::env::var_os(name).is_none() {
            // It says whether it knew the parameter; one that it does not know leaves everything as it was.
            // SAFETY: it takes two numbers, keeps no pointer, and can be called at any time.
            let _ = unsafe { libc::mallopt(parameter, value) };
        }
    }
}

/// Gives the pages back on which nothing is in use. It goes through the whole heap, during which nobody can allocate: about a millisecond
/// for ten megabytes.
pub fn give_back() {
    // It says whether there was anything to give.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes a number, and touches only pages that are free.
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Resident memory, in kilobytes.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("our own");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is there");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    #[test]
    fn what_lies_between_pieces_in_use_is_given_back() {
        keep_little();
        let mut pieces: Vec<Vec<u8>> = (0..40_000).map(|_| vec![1; 1000]).collect();
        let mut number = 0;
        pieces.retain(|_| {
            number += 1;
            number % 100 == 0
        });
        let before = resident();
        give_back();
        let after = resident();
        assert!(after + 20_000 < before, "{before} kB before, {after} kB after");
        assert_eq!(pieces.len(), 400);
    }
}
