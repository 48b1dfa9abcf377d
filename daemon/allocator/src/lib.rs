//! The memory allocator of the daemon: jemalloc, told to keep little.
//!
//! glibc's keeps what one thread frees of another one's heap, and the pages between two pieces that are in use: for a daemon that once read a
//! large answer more than all that it needs. And each of its heaps has one lock, while on their way through the store records are made by one
//! thread and freed by another. What C libraries take is glibc's still.
//!
//! jemalloc is built for one size of pages, which only x86-64 has for sure. Elsewhere the allocator is the system's; if that is glibc's, it is
//! told to keep little, too.
//!
//! A crate of its own, so that every other one can forbid unsafe code.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    /// With jemalloc there is little that C libraries take. Without it the store's thread has a heap nearly to itself: with a single one they
    /// waited for one another.
    const HEAPS: libc::c_int = if cfg!(target_arch = "x86_64") { 1 } else { 2 };

    /// Pieces of 1 MiB and more go back to the system as soon as they are free. What a person has set in the environment is left alone.
    pub(crate) fn keep_little() {
        for (name, parameter, value) in
            [("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, HEAPS), ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, 1024 * 1024)]
        {
            if std::env::var_os(name).is_none() {
                // It says whether it knew the parameter; one that it does not know leaves everything as it was.
                // SAFETY: it takes two numbers, keeps no pointer, and can be called at any time.
                let _ = unsafe { libc::mallopt(parameter, value) };
            }
        }
    }

    pub(crate) fn give_back() {
        // It says whether there was anything to give.
        // SAFETY: it takes a number, and touches only pages that are free.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod jemalloc {
    use std::ptr::null_mut;

    use tikv_jemalloc_sys::mallctl;

    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    /// Two arenas for all threads, and a second until pages that nobody uses go back to the system. jemalloc reads it when it starts.
    // SAFETY: jemalloc expects a symbol of this name, a pointer to a text that ends with a zero, and only reads it.
    #[unsafe(export_name = "_rjem_malloc_conf")]
    static CONFIGURATION: &[u8; 47] = b"narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

    pub(crate) fn give_back() {
        // What this thread has put aside; then the pages of all arenas, whose number is MALLCTL_ARENAS_ALL.
        for command in [c"thread.tcache.flush", c"arena.4096.purge"] {
            // It says whether it knew the command; one that it does not know does nothing.
            // SAFETY: the name ends with a zero, and nothing is read or written.
            let _ = unsafe { mallctl(command.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
        }
    }
}

/// Sets bounds to what glibc keeps. To be called once, before there is a second thread.
pub fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::keep_little();
}

/// Gives the pages back on which nothing is in use. Takes a millisecond for some ten megabytes.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
    jemalloc::give_back();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::give_back();
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_allocator_is_the_one_that_was_configured() {
        let mut arenas = 0_u32;
        let mut length = size_of::<u32>();
        // SAFETY: `opt.narenas` is an unsigned number, there is room for one, and nothing is written.
        let code = unsafe {
            tikv_jemalloc_sys::mallctl(
                c"opt.narenas".as_ptr(),
                (&raw mut arenas).cast(),
                &raw mut length,
                std::ptr::null_mut(),
                0,
            )
        };
        assert_eq!((code, arenas), (0, 2));
    }
}
