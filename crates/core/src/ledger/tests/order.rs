//! What a claim is told, in which order, and at which instant.

use super::*;

#[test]
fn first_claim_runs_as_the_first_attempt() {
    let mut record = begun();
    let first = Claimed::Run {
        token: 1,
        attempt: 1,
    };
    assert_eq!(record.claim(&claim(1), at(0)), first, "asked again");
}

#[test]
fn same_owner_finds_its_run_and_changes_nothing() {
    let mut record = taken_over();
    let before = record.to_head();
    assert_eq!(
        record.claim(&claim(2), at(15)),
        Claimed::Run {
            token: 2,
            attempt: 2
        }
    );
    assert_eq!(record.to_head(), before);
}

#[test]
fn lease_that_holds_is_anothers_until_its_last_instant() {
    let mut record = begun();
    assert_eq!(
        record.claim(&claim(2), at(9)),
        Claimed::Running { left: secs(1) }
    );
    let last = at(10) - Duration::from_nanos(1);
    assert!(record.left_of_lease(last).is_some());
    assert!(matches!(
        record.claim(&claim(2), last),
        Claimed::Running { .. }
    ));
    assert!(record.left_of_lease(at(10)).is_none());
    assert!(matches!(
        record.claim(&claim(2), at(10)),
        Claimed::Run { token: 2, .. }
    ));
}

// IK-7
#[test]
fn mismatch_is_found_before_anything_else() {
    let mut other = claim(2);
    other.fingerprint = [8; 32];
    for mut record in [begun(), taken_over(), completed(), unknown()] {
        let before = record.to_head();
        for secs in [10, 11, 25] {
            assert_eq!(record.claim(&other, at(secs)), Claimed::Mismatch);
        }
        assert_eq!(record.to_head(), before);
    }
    // Also for the owner itself.
    other.owner = 1;
    assert_eq!(begun().claim(&other, at(1)), Claimed::Mismatch);
}

#[test]
fn answer_is_told_to_everybody_until_its_retention_is_over() {
    let mut record = completed();
    for owner in [1, 2] {
        assert_eq!(
            record.claim(&claim(owner), at(91)),
            Claimed::Completed {
                answer: &"paid",
                left: secs(10)
            }
        );
    }
    let mark = claim(2).overdue(Overdue::MarkUnknown);
    assert!(matches!(
        record.claim(&mark, at(100)),
        Claimed::Completed { .. }
    ));
    assert!(record.is_past(at(101)));
    assert_eq!(
        record.claim(&claim(2), at(101)),
        Claimed::Run {
            token: 1,
            attempt: 1
        },
        "as if it had never been"
    );
}

#[test]
fn unknown_outcome_is_told_whatever_the_claim_would_do() {
    let mut record = unknown();
    for claim in [claim(1), claim(2).overdue(Overdue::MarkUnknown)] {
        assert_eq!(
            record.claim(&claim, at(20)),
            Claimed::Unknown {
                attempts: 1,
                left: secs(90)
            }
        );
    }
}

#[test]
fn owner_whose_lease_is_over_gets_a_higher_token() {
    let mut record = begun();
    assert_eq!(
        record.claim(&claim(1), at(10)),
        Claimed::Run {
            token: 2,
            attempt: 2
        }
    );
}

#[test]
fn record_past_its_retention_is_begun_anew_by_any_request() {
    let mut other = claim(2);
    other.fingerprint = [8; 32];
    for mut record in [begun(), taken_over(), completed(), unknown()] {
        assert_eq!(
            record.claim(&other, at(200)),
            Claimed::Run {
                token: 1,
                attempt: 1
            }
        );
        assert_eq!(
            record.claim(&claim(3), at(201)),
            Claimed::Mismatch,
            "it is of the new request"
        );
    }
}
