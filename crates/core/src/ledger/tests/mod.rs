//! Each decision of the ledger, one at a time, and then all of them against a naive model.

use alloc::format;
use core::time::Duration;

use super::{Claim, Claimed, HEAD, Overdue, Record, Release, Run};
use crate::Moment;

mod acts;
mod clocks;
mod model;
mod order;
mod runs;

const LEASE: Duration = Duration::from_secs(10);
const RETENTION: Duration = Duration::from_secs(100);
const T0: Moment = Moment::from_nanos(1 << 40);

type Answer = &'static str;

fn claim(owner: u128) -> Claim {
    Claim::new([7; 32], owner, LEASE, RETENTION)
}

fn at(secs: u64) -> Moment {
    T0 + Duration::from_secs(secs)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Begun by owner 1 at `T0`, who then has token 1.
fn begun() -> Record<Answer> {
    Record::begin(&claim(1), T0)
}

const FIRST: Run = Run::new(1, 1);

/// Taken over by owner 2 when its lease was over, who then has token 2.
fn taken_over() -> Record<Answer> {
    let mut record = begun();
    assert_eq!(
        record.claim(&claim(2), at(10)),
        Claimed::Run {
            token: 2,
            attempt: 2
        }
    );
    record
}

fn completed() -> Record<Answer> {
    let mut record = begun();
    assert!(record.complete(FIRST, "paid", RETENTION, at(1)));
    record
}

fn unknown() -> Record<Answer> {
    let mut record = begun();
    let mark = claim(2).overdue(Overdue::MarkUnknown);
    let marked = record.claim(&mark, at(10));
    assert!(matches!(marked, Claimed::Unknown { attempts: 1, .. }));
    record
}

#[test]
fn record_survives_the_way_through_bytes() {
    let mut given_up = taken_over();
    assert!(given_up.give_up(Run::new(2, 2), at(11)));
    for record in [begun(), taken_over(), given_up, completed(), unknown()] {
        let head = record.to_head();
        let again = Record::from_head(&head, || "paid").expect("sound");
        assert_eq!(again.to_head(), head);
        assert_eq!(format!("{again:?}"), format!("{record:?}"));
        assert_eq!(again.answer(), record.answer());
    }
}

#[test]
fn head_that_makes_no_sense_is_refused() {
    let sound = begun().to_head();
    let broken = |at: usize, byte: u8| {
        let mut head = sound;
        head[at] = byte;
        Record::from_head(&head, || "").is_none()
    };
    assert!(broken(0, 0), "no such state");
    assert!(broken(0, 5), "no such state");
    assert!(broken(HEAD - 28, 0), "no attempt");
    assert!(broken(HEAD - 28, 2), "more attempts than tokens");
    assert!(broken(HEAD - 3, 0), "kept shorter than leased");
    assert!(!broken(1, 0), "a fingerprint may be anything");
}

#[test]
fn debug_output_holds_neither_answer_nor_fingerprint() {
    let text = format!("{:?}", completed());
    assert!(
        !text.contains("paid") && !text.contains("fingerprint"),
        "{text}"
    );
}
