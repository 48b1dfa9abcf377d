//! Calls into sled: what the system refused is told from damage, and panics are caught.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why sled did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The disk, or the system, did not let it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its files are locked by someone else.
    #[error("its files are in use")]
    Busy,
    /// Its files contradict themselves, or it panicked.
    #[error("{0}")]
    Damaged(String),
}

/// Runs a call into sled, which panics on many kinds of damage.
pub(super) fn fenced<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    catch_panic(call)?.map_err(fault)
}

/// What a panic says, as a fault.
pub(super) fn catch_panic<T>(call: impl FnOnce() -> T) -> Result<T, Fault> {
    // Unwind safe enough: after a fault the writer drops the database and opens it again.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Fault::Damaged(format!("sled panicked: {}", text.unwrap_or("without a message")))
    })
}

/// Tells what the system refused from what the files make impossible.
fn fault(error: sled::Error) -> Fault {
    /// Too many open files in the system, or in this process: `ErrorKind` has no name for them.
    const NO_DESCRIPTORS: [i32; 2] = [23, 24];
    match error {
        sled::Error::Io(error) => {
            use io::ErrorKind as Kind;
            if error.to_string().contains("could not acquire lock") {
                return Fault::Busy;
            }
            let refused = matches!(
                error.kind(),
                Kind::FileTooLarge
                    | Kind::Interrupted
                    | Kind::OutOfMemory
                    | Kind::PermissionDenied
                    | Kind::QuotaExceeded
                    | Kind::ReadOnlyFilesystem
                    | Kind::StorageFull
                    | Kind::WouldBlock
            ) || error.raw_os_error().is_some_and(|number| NO_DESCRIPTORS.contains(&number));
            if refused { Fault::Io(error) } else { Fault::Damaged(error.to_string()) }
        }
        other => Fault::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_sled_is_damage_with_its_words() {
        let fault = fenced::<()>(|| panic!("tried to serialize Uninitialized")).expect_err("a fault");
        assert!(matches!(&fault, Fault::Damaged(text) if text.contains("serialize Uninitialized")), "{fault}");
    }

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        for number in [13, 23, 24, 28, 30] {
            let refused = fault(sled::Error::Io(io::Error::from_raw_os_error(number)));
            assert!(matches!(refused, Fault::Io(_)), "{number}: {refused}");
        }
        let locked = io::Error::other("could not acquire lock on \"db\"");
        assert!(matches!(fault(sled::Error::Io(locked)), Fault::Busy));
        assert!(matches!(fault(sled::Error::Io(io::ErrorKind::UnexpectedEof.into())), Fault::Damaged(_)));
        assert!(matches!(fault(sled::Error::ReportableBug("x".into())), Fault::Damaged(_)));
    }
}
