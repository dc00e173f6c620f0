//! Several windows: all or none, and the longest wait.

extern crate std;

use std::sync::Barrier;
use std::thread;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Two at once, ten a second; and five at once, one a second.
fn windows() -> Windows {
    let quotas = [
        Quota::per_second(10).with_burst(2),
        Quota::per_second(1).with_burst(5),
    ];
    Windows::try_new(&quotas).expect("valid")
}

fn remaining(windows: &Windows, now: Moment) -> Vec<u64> {
    windows.cells().map(|cell| cell.remaining(now)).collect()
}

#[test]
fn none_or_too_many_are_refused_and_so_is_one_that_cannot_work() {
    let quota = Quota::per_second(1);
    for wrong in [&[][..], &[quota; 5], &[quota, Quota::per_second(0)]] {
        assert!(Windows::try_new(wrong).is_err(), "{wrong:?}");
    }
    assert!(Windows::try_new(&[quota; 4]).is_ok());
}

#[test]
fn one_that_refuses_refuses_for_all_and_nothing_is_taken() {
    let windows = windows();
    for millis in [0, 0, 200, 200, 400] {
        assert!(windows.try_take(at(millis), 1).is_ok());
    }
    assert_eq!(remaining(&windows, at(400)), [1, 0]);
    for _ in 0..10 {
        let refused = windows.try_take(at(400), 1);
        assert_eq!(refused.map(drop), Err(Scarcity::Until(at(1000))));
    }
    assert_eq!(remaining(&windows, at(400)), [1, 0], "no token leaked");
}

#[test]
fn refusal_by_a_later_window_writes_nothing() {
    let quotas = [Quota::per_second(10), Quota::per_hour(1)];
    let windows = Windows::try_new(&quotas).expect("valid");
    let _ = windows.try_take(at(0), 1).expect("there is enough");
    let written = writes(|| {
        for _ in 0..10 {
            assert!(windows.try_take(at(0), 1).is_err());
        }
    });
    assert_eq!(written, 0);
}

#[test]
fn longest_wait_is_told_and_never_is_longer_than_any() {
    let windows = windows();
    let _ = windows.try_take(at(0), 2).expect("there is enough");
    let refused = windows.check(at(0), 1);
    assert_eq!(refused, Err(Scarcity::Until(at(100))), "the first");
    for millis in [200, 400] {
        let _ = windows.try_take(at(millis), 1).expect("there is enough");
    }
    assert_eq!(windows.check(at(400), 2), Err(Scarcity::Until(at(1000))));
    assert_eq!(windows.check(at(400), 3), Err(Scarcity::Never));
    assert_eq!(windows.try_take(at(400), 6).map(drop), Err(Scarcity::Never));
}

#[test]
fn all_windows_are_given_back() {
    let windows = windows();
    let taken = windows.try_take(at(0), 2).expect("there is enough");
    assert!(!windows.is_full(at(0)));
    windows.give_back(taken, at(0));
    assert_eq!(remaining(&windows, at(0)), [2, 5]);
    assert!(windows.is_full(at(0)));
}

/// Whoever loses at the second window gives back what it took from the first; whoever wins keeps both.
#[test]
fn threads_that_race_take_all_or_nothing() {
    const THREADS: usize = 2;
    for _ in 0..200 {
        let quotas = [
            Quota::per_hour(1).with_burst(100),
            Quota::per_hour(1).with_burst(37),
        ];
        let windows = Windows::try_new(&quotas).expect("valid");
        let barrier = Barrier::new(THREADS);
        let admitted: usize = thread::scope(|scope| {
            let run = || {
                barrier.wait();
                (0..30)
                    .filter(|_| windows.try_take(at(0), 1).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
            let counts = threads.into_iter().map(|thread| thread.join());
            counts.map(|count| count.expect("no panic")).sum()
        });
        assert_eq!(admitted, 37);
        assert_eq!(remaining(&windows, at(0)), [63, 0]);
    }
}

proptest! {
    #[test]
    fn windows_are_the_and_of_their_cells(
        quotas in prop::collection::vec((1..2_000_u64, 1..8_u64), 1..=4),
        calls in prop::collection::vec((0..2_000_u64, 0..9_u64, any::<bool>()), 0..60),
    ) {
        let quotas: Vec<_> = quotas
            .into_iter()
            .map(|(interval, burst)| {
                Quota::new(1, Duration::from_nanos(interval)).with_burst(burst)
            })
            .collect();
        let windows = Windows::try_new(&quotas).expect("valid");
        let cells: Vec<_> = quotas.iter().map(|quota| Cell::try_new(*quota).expect("valid")).collect();
        let mut now = at(0);
        for (pause, cost, back) in calls {
            now = now + Duration::from_nanos(pause);
            let waits: Vec<_> = cells.iter().map(|cell| cell.time_until(now, cost)).collect();
            let wait = waits.iter().map(|wait| wait.unwrap_or(Duration::MAX)).max().expect("one");
            let expected = match wait {
                Duration::ZERO => Ok(()),
                Duration::MAX => Err(Scarcity::Never),
                wait => Err(Scarcity::Until(now + wait)),
            };
            prop_assert_eq!(windows.check(now, cost), expected);
            let taken = windows.try_take_and_look(now, cost);
            prop_assert_eq!(taken.map(drop), expected);
            if let Ok((taken, has_more)) = taken {
                prop_assert_eq!(has_more, windows.check(now, 1).is_ok());
                let each: Vec<_> = cells
                    .iter()
                    .map(|cell| cell.try_take(now, cost).expect("all admit"))
                    .collect();
                if back {
                    windows.give_back(taken, now);
                    cells.iter().zip(each).for_each(|(cell, taken)| cell.give_back(taken, now));
                }
            }
            for (one, other) in windows.cells().zip(&cells) {
                prop_assert_eq!(one.time_to_full(now), other.time_to_full(now));
            }
        }
    }
}
