//! What threads share of a rate limit: a timestamp for each window.
#![cfg(seaworthy_loom)]

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seaworthy_core::Moment;
use seaworthy_core::gcra::{Cell, Quota, Windows};

const NOW: Moment = Moment::from_nanos(1 << 59);

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Runs `body` in two threads, this one included, and says what both found.
fn race<S: 'static, R: 'static>(shared: &Arc<S>, body: fn(&S) -> R) -> [R; 2] {
    let other = Arc::clone(shared);
    let thread = thread::spawn(move || body(&other));
    let mine = body(shared);
    [mine, thread.join().expect("no panic")]
}

fn hourly(burst: u64) -> Quota {
    Quota::per_hour(1).with_burst(burst)
}

fn cell(burst: u64) -> Arc<Cell> {
    Arc::new(Cell::try_new(hourly(burst)).expect("valid"))
}

#[test]
fn no_more_than_the_burst_is_taken_and_nothing_is_lost() {
    explore(|| {
        let cell = cell(3);
        let taken = race(&cell, |cell| {
            (0..2).filter(|_| cell.try_take(NOW, 1).is_ok()).count()
        });
        assert_eq!(taken.iter().sum::<usize>(), 3);
        assert_eq!(cell.remaining(NOW), 0);
    });
}

#[test]
fn what_one_gives_back_the_other_may_take_once() {
    explore(|| {
        let cell = cell(1);
        let taken = race(&cell, |cell| match cell.try_take(NOW, 1) {
            Ok(taken) => {
                cell.give_back(taken, NOW);
                true
            }
            Err(_) => false,
        });
        assert!(taken.contains(&true));
        assert_eq!(cell.remaining(NOW), 1);
    });
}

#[test]
fn call_that_meets_a_change_of_the_quota_counts_by_one_of_the_two() {
    explore(|| {
        let cell = cell(4);
        let other = Arc::clone(&cell);
        let thread = thread::spawn(move || other.try_take(NOW, 1).is_ok());
        let slower = Quota::new(1, Duration::from_secs(7200)).with_burst(4);
        cell.set_quota(slower, NOW).expect("valid");
        assert!(thread.join().expect("no panic"));
        // Taken by the new interval before what was spent is counted anew, it counts twice.
        assert!((2..=3).contains(&cell.remaining(NOW)));
    });
}

/// Both take from the first; the one that finds nothing in the second gives back.
#[test]
fn windows_take_all_or_nothing() {
    explore(|| {
        let windows = Windows::try_new(&[hourly(2), hourly(1)]).expect("valid");
        let windows = Arc::new(windows);
        let taken = race(&windows, |windows| windows.try_take(NOW, 1).is_ok());
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        let remaining: Vec<_> = windows.cells().map(|cell| cell.remaining(NOW)).collect();
        assert_eq!(remaining, [1, 0]);
    });
}

/// More than one is taken in vain, and all of it is there again.
#[test]
fn windows_keep_nothing_of_a_dear_call_that_they_refuse() {
    explore(|| {
        let windows = Windows::try_new(&[hourly(4), hourly(3)]).expect("valid");
        let windows = Arc::new(windows);
        let taken = race(&windows, |windows| windows.try_take(NOW, 2).is_ok());
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        let remaining: Vec<_> = windows.cells().map(|cell| cell.remaining(NOW)).collect();
        assert_eq!(remaining, [2, 1]);
    });
}
