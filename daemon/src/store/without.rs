//! Takes a rule out of the journal on this thread, for tests that show that the power cuts notice it.

use std::cell::Cell;

/// A rule that can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// R1: a group is answered once it is durable. Without it, once it is written.
    DurableBeforeTheAnswer,
    /// What stands apart from sled is durable before sled is. Without it, never.
    ValuesDurableFirst,
    /// R23: rows and cursor are one write. Without it the cursor goes first, in a write of its own.
    OneWrite,
}

thread_local! {
    static OUT: Cell<Option<Rule>> = const { Cell::new(None) };
}

/// Does something without the rule.
pub(super) fn rule<T>(rule: Rule, what: impl FnOnce() -> T) -> T {
    OUT.set(Some(rule));
    let done = what();
    OUT.set(None);
    done
}

/// Whether the rule is taken out.
pub(super) fn is_out(rule: Rule) -> bool {
    OUT.get() == Some(rule)
}
