//! The macro that makes a test of each row.

/// Holds a store to what [`Store`](crate::Store) says: a test for each row, in the module where it stands.
///
/// | key | what it says |
/// |---|---|
/// | `store` | a future of a [`Tested`](crate::testing::Tested) store; one for each test, on the runtime of that test |
/// | `expiry` | `swept`: what is past its retention is there until [`purge`](crate::Store::purge) removes it. `by_itself`: the store removes it on its own too, and `purge` may find nothing |
///
/// Each row draws keys of its own, so that stores of several tests may share a database; where they do, a test may purge what is past of another.
/// Nothing in it depends on how fast the store is: leases that must hold last an hour, leases that must end are over when [`Tested::passing`](crate::testing::Tested::passing) says so.
/// A row fails when a step takes longer than ten seconds.
/// The tests run on tokio's runtime with two threads, and real time.
#[macro_export]
#[doc(hidden)]
macro_rules! store_suite {
    (
        store: $store:expr,
        expiry: $expiry:ident $(,)?
    ) => {
        $crate::store_suite! { @rows $store, $expiry,
            first_claim_runs_as_the_first_attempt
            claim_sent_again_finds_its_run
            running_key_tells_others_the_rest_of_its_lease
            mismatch_comes_before_anything_else
            keys_do_not_meet
            overdue_run_is_taken_over_with_a_higher_token
            overdue_run_is_marked_unknown_for_good
            answer_is_told_to_everybody_byte_for_byte
            late_owner_changes_nothing
            late_owner_changes_no_unknown_outcome
            neither_owner_nor_token_alone_is_enough
            renewed_lease_holds
            lease_that_is_over_is_held_until_it_is_taken
            completed_twice_says_yes_twice
            completed_run_has_one_answer
            completed_run_has_ended
            renewal_after_the_end_loses_nothing_and_keeps_nothing
            given_up_run_is_overdue_at_once
            given_up_run_has_ended
            released_key_is_forgotten
            released_later_run_gives_up
            steps_without_a_record_are_lost
            record_past_its_retention_is_none
            answer_is_kept_as_long_as_it_was_completed_for
            renewed_record_outlives_its_retention
            taken_over_record_is_kept_anew
            purge_removes_what_is_past_within_its_limit
            one_of_many_claims_runs
            one_of_many_takes_over
            completion_and_takeover_exclude_each_other
            completion_and_mark_exclude_each_other
            many_callers_get_one_answer
            dropped_claim_is_found_again
            dropped_completion_is_said_again
            wait_ends_with_the_run
            wait_ends_at_its_limit
            wait_returns_where_nothing_runs
            waiting_does_not_spin
            dropped_wait_disturbs_nobody
        }
    };
    (@rows $store:expr, $expiry:ident, $($row:ident)+) => {
        $(
            #[test]
            fn $row() {
                $crate::testing::run($store, |tested| async move {
                    tested.expiry($crate::testing::Expiry::$expiry).$row().await;
                });
            }
        )+
    };
}
