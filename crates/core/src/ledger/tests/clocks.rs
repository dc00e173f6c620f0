//! Clocks that are set back, jump ahead, or are at their end.

use super::*;

/// A day after `T0`: where a broken clock stood when it wrote.
const AHEAD: Moment = Moment::from_nanos((1 << 40) + 86_400_000_000_000);

fn begun_ahead() -> Record<Answer> {
    Record::begin(&claim(1), AHEAD)
}

#[test]
fn clock_set_back_holds_a_key_no_longer_than_its_lease() {
    let mut record = begun_ahead();
    assert_eq!(
        record.claim(&claim(2), T0),
        Claimed::Running { left: LEASE },
        "as if begun now"
    );
    assert!(matches!(
        record.claim(&claim(2), at(10)),
        Claimed::Run { token: 2, .. }
    ));
}

#[test]
fn clock_set_back_counts_what_was_left() {
    let mut record = begun_ahead();
    assert!(record.renew(FIRST, secs(4), AHEAD + secs(5)));
    assert_eq!(record.left_of_lease(T0), Some(secs(4)));
    assert_eq!(
        record.claim(&claim(2), T0),
        Claimed::Running { left: secs(4) }
    );
    assert_eq!(record.expiry(), at(95));
}

#[test]
fn clock_set_back_keeps_an_answer_no_longer_than_its_retention() {
    let mut record = begun_ahead();
    assert!(record.complete(FIRST, "paid", RETENTION, AHEAD));
    assert_eq!(
        record.claim(&claim(2), T0),
        Claimed::Completed {
            answer: &"paid",
            left: RETENTION
        }
    );
    assert!(record.is_past(at(100)));
}

#[test]
fn each_step_after_a_clock_was_set_back_counts_from_now() {
    let mut renewed = begun_ahead();
    assert!(renewed.renew(FIRST, LEASE, T0));
    assert_eq!(renewed.left_of_lease(T0), Some(LEASE));
    assert_eq!(renewed.expiry(), at(100));

    let mut completed = begun_ahead();
    assert!(completed.complete(FIRST, "paid", RETENTION, T0));
    assert_eq!(completed.expiry(), at(100));

    let mut given_up = begun_ahead();
    assert!(given_up.give_up(FIRST, T0));
    assert_eq!(given_up.expiry(), at(100));
    assert!(matches!(
        given_up.claim(&claim(2), T0),
        Claimed::Run { token: 2, .. }
    ));
}

#[test]
fn small_step_back_changes_nothing() {
    let mut record = begun();
    assert!(record.renew(FIRST, LEASE, at(5)));
    assert_eq!(
        record.claim(&claim(2), at(14)),
        Claimed::Running { left: secs(1) }
    );
    assert_eq!(
        record.claim(&claim(2), at(6)),
        Claimed::Running { left: secs(9) }
    );
}

#[test]
fn clock_at_its_end_neither_wraps_nor_panics() {
    let mut for_ever = claim(1);
    for_ever.lease = Duration::MAX;
    for_ever.retention = Duration::MAX;
    let mut record = Record::<Answer>::begin(&for_ever, T0);
    assert_eq!(record.expiry(), Moment::NEVER);
    assert!(record.renew(FIRST, Duration::MAX, at(1)));
    assert!(matches!(
        record.claim(&claim(2), at(1_000_000)),
        Claimed::Running { .. }
    ));
    assert!(record.complete(FIRST, "paid", Duration::MAX, at(2)));
    assert!(matches!(
        record.claim(&claim(2), Moment::ORIGIN),
        Claimed::Completed { .. }
    ));
}

#[test]
fn lease_and_retention_of_nothing_hold_nothing() {
    let nothing = Claim::new([7; 32], 1, Duration::ZERO, Duration::ZERO);
    let mut record = Record::<Answer>::begin(&nothing, T0);
    assert!(record.is_past(T0));
    let first = Claimed::Run {
        token: 1,
        attempt: 1,
    };
    assert_eq!(record.begun(), first);
    assert!(matches!(
        record.claim(&claim(2), T0),
        Claimed::Run { token: 1, .. }
    ));
}

#[test]
fn what_was_kept_for_no_time_does_not_come_back_with_the_clock() {
    let mut record = begun();
    assert!(record.complete(FIRST, "paid", Duration::ZERO, at(5)));
    assert!(record.is_past(at(5)) && record.is_past(at(4)));
}
