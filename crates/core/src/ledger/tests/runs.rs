//! What a run may do while it holds its record, and that it may do nothing afterwards.

use super::*;

#[test]
fn renewed_lease_holds_from_now() {
    let mut record = begun();
    assert!(record.renew(FIRST, LEASE, at(5)));
    assert_eq!(
        record.claim(&claim(2), at(14)),
        Claimed::Running { left: secs(1) }
    );
    assert!(record.renew(FIRST, secs(2), at(14)), "also a shorter one");
    assert_eq!(record.left_of_lease(at(14)), Some(secs(2)));
}

#[test]
fn lease_that_is_over_may_be_renewed_while_nobody_took_it() {
    let mut record = begun();
    assert!(record.renew(FIRST, LEASE, at(50)));
    assert!(record.left_of_lease(at(59)).is_some());
}

#[test]
fn run_whose_lease_is_over_may_complete_while_nobody_took_it() {
    let mut record = begun();
    assert!(record.complete(FIRST, "late", RETENTION, at(50)));
    assert_eq!(record.answer(), Some(&"late"));
}

#[test]
fn record_is_kept_at_least_as_long_as_its_lease() {
    let mut short = claim(1);
    short.retention = secs(1);
    let mut record = Record::<Answer>::begin(&short, T0);
    assert_eq!(record.expiry(), at(10));
    assert!(record.renew(FIRST, secs(20), at(5)));
    assert_eq!(record.expiry(), at(25));

    let mut record = begun();
    assert!(record.renew(FIRST, LEASE, at(5)));
    assert_eq!(record.expiry(), at(100), "renewing shortens nothing");
}

#[test]
fn takeover_keeps_the_record_from_then_on() {
    assert_eq!(taken_over().expiry(), at(110));
    assert_eq!(unknown().expiry(), at(110));
    assert_eq!(completed().expiry(), at(101));
}

#[test]
fn same_answer_is_the_same_completion_and_another_is_none() {
    let mut record = completed();
    let before = record.to_head();
    assert!(record.complete(FIRST, "paid", secs(500), at(2)));
    assert_eq!(record.to_head(), before);
    assert!(!record.complete(FIRST, "other", secs(500), at(2)));
    assert_eq!(record.answer(), Some(&"paid"));
    assert_eq!(record.to_head(), before);
}

#[test]
fn given_up_run_is_overdue_at_once_and_has_no_way_back() {
    let mut record = begun();
    assert!(record.give_up(FIRST, at(1)));
    assert!(record.give_up(FIRST, at(1)), "asked again");
    assert!(record.left_of_lease(at(1)).is_none() && !record.is_open());
    assert!(!record.renew(FIRST, LEASE, at(1)));
    assert!(!record.complete(FIRST, "late", RETENTION, at(1)));
    assert_eq!(record.release(FIRST, at(1)), Release::Lost);
    assert_eq!(record.expiry(), at(100));
    let mut marked = record.clone();
    assert_eq!(
        record.claim(&claim(2), at(1)),
        Claimed::Run {
            token: 2,
            attempt: 2
        }
    );
    let mark = claim(2).overdue(Overdue::MarkUnknown);
    assert_eq!(
        marked.claim(&mark, at(1)),
        Claimed::Unknown {
            attempts: 1,
            left: RETENTION
        }
    );
}

/// Whether the run may do anything at all; whatever it tries must then leave the record as it is.
fn may_act(record: &Record<Answer>, run: Run, now: Moment) -> bool {
    let before = record.to_head();
    let try_on = |step: &dyn Fn(&mut Record<Answer>) -> bool| {
        let mut copy = record.clone();
        let may = step(&mut copy);
        assert!(may || copy.to_head() == before, "refused, yet changed");
        may
    };
    let any = [
        try_on(&|record| record.renew(run, LEASE, now)),
        try_on(&|record| record.complete(run, "late", RETENTION, now)),
        try_on(&|record| record.give_up(run, now)),
        try_on(&|record| record.release(run, now) != Release::Lost),
    ];
    assert!(any == [any[0]; 4], "all or nothing: {any:?}");
    any[0]
}

#[test]
fn first_run_that_did_nothing_is_forgotten_and_a_later_one_gives_up() {
    let mut record = begun();
    let before = record.to_head();
    assert_eq!(record.release(FIRST, at(1)), Release::Forget);
    assert_eq!(record.to_head(), before, "the store removes it");

    let mut record = taken_over();
    assert_eq!(record.release(Run::new(2, 2), at(11)), Release::GivenUp);
    let next = record.claim(&claim(3), at(11));
    let (token, attempt) = (3, 3);
    assert_eq!(
        next,
        Claimed::Run { token, attempt },
        "and what came before is known"
    );
}

// IK-19, pitfall 4
#[test]
fn late_owner_changes_nothing() {
    assert!(may_act(&begun(), FIRST, at(1)));
    assert!(may_act(&taken_over(), Run::new(2, 2), at(11)));
    assert!(!may_act(&taken_over(), FIRST, at(11)));
    assert!(!may_act(&unknown(), FIRST, at(11)));
}

#[test]
fn right_owner_with_a_wrong_token_changes_nothing() {
    assert!(!may_act(&taken_over(), Run::new(2, 1), at(11)));
    assert!(!may_act(&taken_over(), Run::new(2, 3), at(11)));
    assert!(!may_act(&taken_over(), Run::new(1, 2), at(11)));
}

#[test]
fn completed_record_is_changed_by_nobody() {
    for run in [FIRST, Run::new(2, 1), Run::new(2, 2)] {
        let mut record = completed();
        let before = record.to_head();
        assert!(!record.give_up(run, at(2)));
        assert_eq!(record.release(run, at(2)), Release::Lost);
        // Whose it was has lost nothing: a renewal may meet its own end.
        assert_eq!(record.renew(run, LEASE, at(2)), run == FIRST);
        let again = record.complete(run, "paid", RETENTION, at(2));
        assert_eq!(again, run == FIRST);
        assert!(!record.complete(run, "other", RETENTION, at(2)));
        assert_eq!(record.to_head(), before);
        assert_eq!(record.answer(), Some(&"paid"));
    }
}

#[test]
fn record_past_its_retention_is_nobodys() {
    assert!(may_act(&begun(), FIRST, at(99)));
    assert!(!may_act(&begun(), FIRST, at(100)));
    let mut completed = completed();
    assert!(!completed.complete(FIRST, "paid", RETENTION, at(101)));
    assert!(!completed.renew(FIRST, LEASE, at(101)));
    let mut given_up = begun();
    assert!(given_up.give_up(FIRST, at(1)));
    assert!(!given_up.give_up(FIRST, at(100)));
}

// IK-19: the old owner's number and token may both come again, in different runs.
#[test]
fn owner_of_a_forgotten_record_is_not_that_of_the_next() {
    let mut record = begun();
    assert!(matches!(
        record.claim(&claim(2), at(100)),
        Claimed::Run { token: 1, .. }
    ));
    assert!(!may_act(&record, FIRST, at(101)));
}

#[test]
fn attempts_and_tokens_end_rather_than_wrap() {
    let mut record = begun();
    record.attempt = u32::MAX;
    record.token = u64::MAX;
    assert_eq!(
        record.claim(&claim(2), at(10)),
        Claimed::Run {
            token: u64::MAX,
            attempt: u32::MAX
        }
    );
    assert!(!may_act(&record, Run::new(1, u64::MAX), at(11)));
}
