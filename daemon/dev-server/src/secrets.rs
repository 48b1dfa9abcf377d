//! Every token and every password of a test run, gathered in one file, so that all logs of the run can be searched for them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use crate::world::lock;

/// The directory of the run's logs; unset, nothing is gathered.
const LOGS: &str = "AESYNC_TEST_LOGS";

/// The file, and what this process has written into it.
struct Gathered(File, BTreeSet<String>);

/// Appends a secret, a line of its own, to the file `secrets` in the directory that `AESYNC_TEST_LOGS` names.
///
/// # Panics
/// When the file can't be written: a search for less than all secrets would prove nothing.
#[expect(clippy::expect_used, reason = "it is for tests alone")]
pub(crate) fn note(secret: &str) {
    static GATHERED: OnceLock<Option<Mutex<Gathered>>> = OnceLock::new();
    let gathered = GATHERED.get_or_init(|| {
        let dir = std::env::var_os(LOGS)?;
        let file = OpenOptions::new().append(true).create(true).open(Path::new(&dir).join("secrets"));
        Some(Mutex::new(Gathered(file.expect("the file of the secrets opens"), BTreeSet::new())))
    });
    let Some(gathered) = gathered else { return };
    let Gathered(file, known) = &mut *lock(gathered);
    if known.insert(secret.to_owned()) {
        // One write: other processes append to it, too.
        file.write_all(format!("{secret}\n").as_bytes()).expect("the file of the secrets can be written");
    }
}
