//! Lets the daemon break where a test says, to show what becomes of the process.
//!
//! Only the feature `mutations`, which only tests turn on, makes it possible; without it nothing is asked.

/// Where it can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The loop panics when it is told to reload.
    Loop,
    /// The store's thread panics at its first group.
    Store,
    /// The opening of the store never ends.
    Opening,
}

/// Breaks here, if the variable `AESYNC_TEST_BREAK` says so.
#[cfg(feature = "mutations")]
#[expect(clippy::panic, reason = "that is what it is for")]
pub(crate) fn may(point: Break) {
    let asked = std::env::var("AESYNC_TEST_BREAK").unwrap_or_default();
    match (point, &*asked) {
        (Break::Loop, "loop") | (Break::Store, "store") => panic!("a test breaks the {asked}"),
        (Break::Opening, "opening") => loop {
            std::thread::park();
        },
        _ => {}
    }
}

/// Never breaks.
#[cfg(not(feature = "mutations"))]
#[inline]
pub(crate) const fn may(_: Break) {}
