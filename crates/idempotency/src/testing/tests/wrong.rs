//! Each row against a store that it must find wrong.

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};

use seaworthy_kit::clock::ManualClock;

use crate::testing::{Expiry, Tested, run};

mod toy;
use toy::{Fault, Toy};

fn toy(fault: Option<Fault>) -> Tested<Toy> {
    let clock = ManualClock::new();
    let toy = Toy::new(clock.clock(), fault);
    let pass = move |time| {
        clock.advance(time);
        ready(())
    };
    Tested::passing(toy, pass).expiry(Expiry::swept)
}

/// The toy without a fault passes; with each of these it fails.
macro_rules! found {
    ($($row:ident: $($fault:ident)+;)+) => {$(
        #[test]
        fn $row() {
            run(async { toy(None) }, Tested::$row);
            $(
                let wrong = || run(async { toy(Some(Fault::$fault)) }, Tested::$row);
                let found = catch_unwind(AssertUnwindSafe(wrong)).is_err();
                assert!(found, "{:?} is not found", Fault::$fault);
            )+
        }
    )+};
}

found! {
    first_claim_runs_as_the_first_attempt: CountsAttemptsFromZero;
    claim_sent_again_finds_its_run: ForgetsWhoClaims;
    running_key_tells_others_the_rest_of_its_lease: TellsTheRetention;
    mismatch_comes_before_anything_else: RunningBeforeMismatch AnswerBeforeMismatch TakesOverAMismatch;
    keys_do_not_meet: CutsKeys;
    overdue_run_is_taken_over_with_a_higher_token: NeverTakesOver KeepsTheToken;
    overdue_run_is_marked_unknown_for_good: NeverMarks RunsWhatIsUnknown;
    answer_is_told_to_everybody_byte_for_byte: TrimsAnswers CutsAnswers RunsWhatIsCompleted;
    late_owner_changes_nothing: CompletesForAnybody RenewsForAnybody GivesUpForAnybody ReleasesForAnybody;
    late_owner_changes_no_unknown_outcome: CompletesWhatIsUnknown;
    neither_owner_nor_token_alone_is_enough: IgnoresTokens IgnoresOwners;
    renewed_lease_holds: RenewsNothing;
    lease_that_is_over_is_held_until_it_is_taken: LosesAtTheEndOfTheLease;
    completed_twice_says_yes_twice: CompletesOnceOnly;
    completed_run_has_one_answer: OverwritesAnswers TakesAnotherAnswer;
    completed_run_has_ended: ReleasesWhatIsCompleted;
    renewal_after_the_end_loses_nothing_and_keeps_nothing: LosesWhatItCompleted KeepsWhatItCompleted;
    given_up_run_is_overdue_at_once: ForgetsWhatIsGivenUp KeepsWhatIsGivenUp;
    given_up_run_has_ended: RenewsWhatIsGivenUp GivesUpOnceOnly;
    released_key_is_forgotten: ReleaseGivesUp;
    released_later_run_gives_up: ReleasesLaterRuns;
    steps_without_a_record_are_lost: StepsWithoutARecord;
    record_past_its_retention_is_none: KeepsWhatIsPast StepsOnWhatIsPast;
    answer_is_kept_as_long_as_it_was_completed_for: KeepsAnswersAsLongAsTheirClaim KeepsAnswersForEver;
    renewed_record_outlives_its_retention: RenewsTheLeaseOnly RenewalShortens;
    taken_over_record_is_kept_anew: TakeoverKeepsTheExpiry;
    purge_removes_what_is_past_within_its_limit: PurgesNothing PurgesAll PurgesTheLiving;
    one_of_many_claims_runs: ReadsThenWrites;
    one_of_many_takes_over: ReadsThenWrites;
    completion_and_takeover_exclude_each_other: ReadsThenWrites;
    completion_and_mark_exclude_each_other: ReadsThenWrites;
    many_callers_get_one_answer: ReadsThenWrites RunsWhatIsCompleted;
    dropped_claim_is_found_again: ForgetsWhoClaims;
    dropped_completion_is_said_again: CompletesOnceOnly;
    wait_ends_with_the_run: WakesNobody WakesOne;
    wait_ends_at_its_limit: WaitsForEver;
    wait_returns_where_nothing_runs: WaitsForNothing;
    waiting_does_not_spin: WaitSpins;
    dropped_wait_disturbs_nobody: DroppedWaitWedges;
}
