//! The proof that the model notices: with each of these rules taken out of the engine, an invariant breaks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aesyncd::engine::without::{Mutation, Without};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::check;
use super::ops::case;

/// Cases that are tried before a mutation counts as survived.
const CASES: u32 = 3_000;

/// What broke, by the name of the invariant or rule with which each failed assertion begins.
fn goes_red_without(mutation: Mutation) -> String {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let cases = case();
    for _ in 0..CASES {
        let (chance, ops) = cases.new_tree(&mut runner).expect("a case").current();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(chance, &ops, Without::rule(mutation))));
        if let Err(panic) = outcome {
            let message =
                panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            return message.unwrap_or_default();
        }
    }
    panic!("{CASES} cases passed with {mutation:?}: no test notices that the rule is gone")
}

macro_rules! noticed {
    ($($name:ident: $mutation:ident, $says:literal;)*) => {$(
        #[test]
        fn $name() {
            let message = goes_red_without(Mutation::$mutation);
            assert!(message.contains($says), "it went red for another reason: {message}");
        }
    )*};
}

noticed! {
    without_r3_a_new_entity_arrives_twice: MintedIdStaysHere, "";
    without_r7_a_batch_hits_the_wall: BatchesOfAnySize, "R7";
    without_r8_two_requests_run_side_by_side: RequestsSideBySide, "R8";
    without_r9_what_landed_is_condemned_or_lost: DoubtCountsAsRefusal, "";
    without_r11_good_changes_are_condemned: CondemnedWithoutTrial, "R11";
    without_r15_a_dropped_update_counts_as_arrived: AnyAnswerAccepts, "I2";
    without_r16_a_lost_change_counts_as_arrived: UnseenIsConfirmed, "I2";
    without_r17_an_overruled_change_is_sent_for_ever: OverruledIsSentAgain, "";
    without_r18_nobody_is_warned: NothingIsLearned, "R18";
    without_r20_clamp_rows_are_missed: CursorNotClamped, "I6";
    without_r20_hold_rows_are_missed: CursorNotHeld, "I6";
    without_r20_overlap_rows_are_missed: NoOverlap, "I6";
    without_r21_a_swallowed_row_goes_unnoticed: CanaryNotMissed, "";
    without_r23_a_crash_leaves_the_cursor_ahead: CursorAheadOfItsRows, "I6";
    without_r24_changes_repeat: SameRowIsAChange, "R24";
    without_r26_a_pull_hides_an_edit: BaseHidesEdits, "R26";
    without_r29_a_broken_listing_deletes: NoBrakes, "I8";
    without_r38_changes_reach_another_tenant: OneEpochForAll, "I4";
}
