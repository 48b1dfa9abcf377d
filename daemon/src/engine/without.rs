//! Takes one sync rule out of the engine, for tests that show that the suite notices its absence.
//!
//! Only the feature `mutations`, which only tests turn on, makes it possible; without it every question is answered at compile time.

/// A rule that can be taken out, and in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is what is left of the rule of its name")]
pub enum Mutation {
    /// R3: a minted id is not sent.
    MintedIdStaysHere,
    /// R7: batches are cut by count alone.
    BatchesOfAnySize,
    /// R8: a second request does not wait for the first.
    RequestsSideBySide,
    /// R9: a failed request counts as one that the server refused.
    DoubtCountsAsRefusal,
    /// R11: the first refusal condemns the whole batch.
    CondemnedWithoutTrial,
    /// R15: 200 is acceptance.
    AnyAnswerAccepts,
    /// R16: what was accepted is confirmed, though no pull shows it.
    UnseenIsConfirmed,
    /// R17: what the server overruled is sent again.
    OverruledIsSentAgain,
    /// R18: nothing is learned of what the server drops.
    NothingIsLearned,
    /// R20: the newest stamp is the cursor, though it lie in the future.
    CursorNotClamped,
    /// R20: an empty list moves the cursor to the server's stamp.
    CursorNotHeld,
    /// R20: the next pull begins where the last one ended.
    NoOverlap,
    /// R21: an answer without the canary is believed.
    CanaryNotMissed,
    /// R23: the cursor moves with the first page.
    CursorAheadOfItsRows,
    /// R24: every row that comes is a change.
    SameRowIsAChange,
    /// R26: a pulled row hides unsent edits.
    BaseHidesEdits,
    /// R29: one listing deletes as many rows as it lacks.
    NoBrakes,
    /// R38: whoever signs in gets the outbox that is there.
    OneEpochForAll,
}

/// Which rule is out, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without(#[cfg(feature = "mutations")] Option<Mutation>);

impl Without {
    /// Takes a rule out.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub const fn rule(mutation: Mutation) -> Self {
        Self(Some(mutation))
    }

    /// Whether the engine behaves in this broken way.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn is(self, mutation: Mutation) -> bool {
        self.0 == Some(mutation)
    }

    /// Whether the engine behaves in this broken way: never.
    #[cfg(not(feature = "mutations"))]
    #[must_use]
    pub const fn is(self, _: Mutation) -> bool {
        false
    }
}
