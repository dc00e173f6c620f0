//! The limit: one behaviour per test, then against a naive model, and on simulated services.

use alloc::vec::Vec;

use super::*;
use crate::Ratio;

mod config;
mod model;
mod probes;
mod samples;
mod services;
mod slow;

const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;

fn at(nanos: u64) -> Moment {
    Moment::from_nanos(nanos)
}

fn all() -> [Algorithm; 3] {
    [
        Algorithm::Aimd(Aimd::new()),
        Algorithm::Vegas(Vegas::new()),
        Algorithm::Gradient2(Gradient2::new()),
    ]
}

fn with(algorithm: Algorithm, initial: usize) -> LimitConfig {
    LimitConfig {
        algorithm,
        initial,
        ..LimitConfig::default()
    }
}

fn limit(algorithm: Algorithm, initial: usize) -> Limit {
    Limit::try_new(with(algorithm, initial)).expect("valid")
}

/// A window of a hundred calls of so many milliseconds, of which so many ran at once.
fn calls(millis: u64, in_flight: usize) -> Window {
    Window {
        calls: 100,
        drops: 0,
        cut: 0,
        mean: Duration::from_millis(millis),
        in_flight,
    }
}

/// The same, with so many dropped.
fn drops(drops: u32, in_flight: usize) -> Window {
    Window {
        drops,
        ..calls(10, in_flight)
    }
}

/// Windows one after the other, 200 ms each; the moment after the last.
fn run(limit: &mut Limit, from: u64, windows: usize, window: impl Fn(&Limit) -> Window) -> u64 {
    let mut now = from;
    for _ in 0..windows {
        now += 200 * MILLI;
        limit.on_window(window(limit), at(now), || 0);
    }
    now
}

#[test]
fn limit_grows_while_calls_are_fast_and_it_is_used() {
    for algorithm in all() {
        let mut limit = limit(algorithm, 20);
        run(&mut limit, 0, 5, |limit| calls(10, limit.get()));
        assert!(limit.get() > 20, "{algorithm:?}: {}", limit.get());
        assert_eq!(limit.cause(), Cause::Fast);
    }
}

#[test]
fn limit_does_not_grow_while_less_than_half_is_used() {
    for algorithm in all() {
        let mut limit = limit(algorithm, 20);
        let now = run(&mut limit, 0, 1_000, |_| calls(10, 9));
        assert_eq!(limit.as_f64(), 20.0, "{algorithm:?}");
        assert_eq!(limit.cause(), Cause::Unused);
        run(&mut limit, now, 1, |_| calls(10, 10));
        assert!(limit.as_f64() > 20.0, "half is used: {algorithm:?}");
    }
}

#[test]
fn drops_make_the_limit_fall_by_what_the_law_says() {
    for (algorithm, expected) in all().into_iter().zip([90.0, 98.0, 90.0]) {
        let mut limit = limit(algorithm, 100);
        limit.on_window(drops(10, 100), at(1), || 0);
        assert_eq!(limit.as_f64(), expected, "{algorithm:?}");
        assert_eq!(limit.cause(), Cause::Dropped);
    }
}

#[test]
fn a_window_of_drops_alone_makes_the_limit_fall() {
    for algorithm in all() {
        let mut limit = limit(algorithm, 20);
        let window = Window {
            drops: 10,
            in_flight: 20,
            ..Window::default()
        };
        limit.on_window(window, at(1), || 0);
        assert!(limit.as_f64() < 20.0, "{algorithm:?}");
    }
}

#[test]
fn drops_below_the_share_that_is_tolerated_change_nothing() {
    for algorithm in all() {
        let config = LimitConfig {
            drop_rate: Ratio::try_new("x", 0.05).expect("a share"),
            ..with(algorithm, 20)
        };
        let mut limit = Limit::try_new(config).expect("valid");
        limit.on_window(drops(5, 20), at(1), || 0);
        assert!(limit.as_f64() > 20.0, "5 of 105: {algorithm:?}");
        limit.on_window(drops(6, 20), at(2), || 0);
        assert_eq!(limit.cause(), Cause::Dropped, "6 of 106: {algorithm:?}");
    }
}

#[test]
fn calls_that_were_cut_make_the_limit_fall_where_they_are_most_of_them() {
    for algorithm in all() {
        let cut = |cut| Window {
            cut,
            ..calls(10, 20)
        };
        let mut limit = limit(algorithm, 20);
        limit.on_window(cut(100), at(1), || 0);
        assert!(limit.as_f64() > 20.0, "half of them: {algorithm:?}");
        limit.on_window(cut(101), at(2), || 0);
        assert_eq!(limit.cause(), Cause::Dropped);
    }
}

#[test]
fn steps_of_less_than_one_are_not_lost() {
    let mut limit = limit(all()[2], 20);
    limit.on_window(calls(10, 20), at(1), || 0);
    assert_eq!((limit.get(), limit.as_f64()), (20, 20.8));
    limit.on_window(calls(10, 20), at(2), || 0);
    assert_eq!(limit.get(), 21);
}

#[test]
fn vegas_keeps_between_three_and_six_calls_in_the_queue() {
    // Of 20, so many queue that have this mean time over a baseline of 12 ms: 20·(1 − 12/t).
    for (millis, expected) in [(12, 26.0), (13, 21.0), (14, 20.0), (17, 20.0), (18, 19.0)] {
        let mut limit = limit(all()[1], 20);
        limit.on_window(calls(12, 9), at(1), || 0);
        limit.on_window(calls(millis, 20), at(2), || 0);
        // 12: 0; 13: 1.5; 14: 2.9; 17: 5.9; 18: 6.7.
        assert_eq!(limit.as_f64(), expected, "{millis} ms");
    }
}

#[test]
fn gradient_has_no_headroom_under_overload() {
    let mut limit = limit(all()[2], 20);
    limit.on_window(calls(10, 9), at(1), || 0);
    limit.on_window(calls(20, 20), at(2), || 0);
    // g is 0.75.
    assert_eq!(limit.as_f64(), 19.0);
    assert_eq!(limit.cause(), Cause::Slow);
}

#[test]
fn overload_teaches_the_baseline_nothing() {
    for algorithm in &all()[1..] {
        let mut limit = limit(*algorithm, 100);
        run(&mut limit, 0, 1, |_| calls(10, 9));
        run(&mut limit, SECOND, 25, |limit| calls(30, limit.get()));
        assert_eq!(limit.baseline(), Some(Duration::from_millis(10)));
        assert!(limit.get() < 80, "{algorithm:?}: {}", limit.get());
    }
}

#[test]
fn baseline_is_forgotten_in_time_where_the_limit_is_not_used() {
    for algorithm in &all()[1..] {
        let mut limit = limit(*algorithm, 100);
        run(&mut limit, 0, 1, |_| calls(10, 9));
        run(&mut limit, 40 * SECOND, 1, |_| calls(70, 9));
        assert_eq!(limit.baseline(), Some(Duration::from_millis(70)));
        assert_eq!(limit.get(), 100);
    }
}

#[test]
fn baseline_of_a_busy_service_is_learnt_at_half_the_limit_and_no_more() {
    for algorithm in &all()[1..] {
        let mut limit = limit(*algorithm, 100);
        limit.on_window(calls(10, 9), at(1), || 0);
        let due = 1 + 30 * SECOND;
        limit.on_window(calls(10, 100), at(due - 1), || 0);
        assert!(!limit.is_probing());
        let change = limit.on_window(calls(10, 100), at(due), || 0).unwrap();
        assert_eq!(change.cause, Cause::Probing);
        let halved = limit.as_f64();
        let change = limit.on_window(calls(25, 50), at(due + 1), || 0).unwrap();
        assert_eq!(change.cause, Cause::Probed);
        assert_eq!(limit.as_f64(), 2.0 * halved);
        assert_eq!(limit.baseline(), Some(Duration::from_millis(25)));
        limit.on_window(calls(25, 100), at(due + 2), || 0);
        assert!(!limit.is_probing(), "one probe is enough: {algorithm:?}");
    }
}

#[test]
fn window_that_begins_a_probe_is_a_step_as_any_other() {
    for (law, millis) in [(1, 10), (1, 30), (2, 10), (2, 30)] {
        let [stepped, probed] = [29, 31].map(|second| {
            let mut limit = limit(all()[law], 100);
            limit.on_window(calls(10, 9), at(1), || 0);
            limit.on_window(calls(millis, 100), at(second * SECOND), || 0);
            assert_eq!(limit.is_probing(), second == 31);
            limit.set_learning(false);
            limit.as_f64()
        });
        assert_ne!(stepped, 100.0);
        assert_eq!(probed, stepped, "{millis} ms");
    }
}

#[test]
fn thread_that_read_the_clock_a_moment_ago_does_not_begin_a_probe() {
    for algorithm in &all()[1..] {
        let mut limit = limit(*algorithm, 100);
        let planned = 5 * SECOND;
        limit.on_window(calls(10, 9), at(planned), || 0);
        limit.on_window(calls(10, 100), at(planned - SECOND), || 0);
        assert!(!limit.is_probing());
        limit.on_window(calls(10, 100), at(planned - SECOND - 1), || 0);
        assert!(limit.is_probing(), "that is a clock that was set back");
    }
}

#[test]
fn probe_that_lost_calls_teaches_nothing_and_comes_again() {
    for algorithm in &all()[1..] {
        let mut limit = limit(*algorithm, 100);
        limit.on_window(calls(10, 9), at(1), || 0);
        limit.on_window(calls(10, 100), at(31 * SECOND), || 0);
        assert!(limit.is_probing());
        limit.on_window(drops(50, 50), at(32 * SECOND), || 0);
        assert_eq!(limit.baseline(), Some(Duration::from_millis(10)));
        limit.on_window(calls(10, 100), at(33 * SECOND), || 0);
        assert!(!limit.is_probing(), "not at once: {algorithm:?}");
        limit.on_window(calls(10, 100), at(36 * SECOND), || 0);
        assert!(limit.is_probing(), "but soon: {algorithm:?}");
    }
}

#[test]
fn probes_of_a_fleet_are_spread() {
    let due = |draw| {
        let mut limit = limit(all()[1], 100);
        limit.on_window(calls(10, 9), at(0), || draw);
        (300..400).find(|tenth| {
            limit.on_window(calls(10, 1_000), at(tenth * SECOND / 10), || 0);
            limit.is_probing()
        })
    };
    assert_eq!(due(0), Some(300));
    assert_eq!(due(u64::MAX / 2), Some(323), "half of 15 %");
    assert_eq!(due(u64::MAX), Some(345));
}

#[test]
fn service_that_became_slower_for_good_is_believed_at_the_floor() {
    let mut limit = limit(all()[2], 20);
    run(&mut limit, 0, 1, |_| calls(10, 9));
    // Slow in itself: less at once makes it no faster.
    let floor = 29;
    let now = run(&mut limit, SECOND, floor + 3, |limit| {
        calls(100, limit.get())
    });
    assert_eq!(limit.get(), 1);
    assert_eq!(limit.baseline(), Some(Duration::from_millis(10)));
    run(&mut limit, now, 31, |limit| calls(100, limit.get()));
    assert_eq!(limit.baseline(), Some(Duration::from_millis(100)));
    assert!(limit.get() > 10, "{}", limit.get());
}

#[test]
fn service_that_became_slower_for_good_is_believed_at_the_next_probe() {
    for algorithm in &all()[1..] {
        let mut limit = limit(*algorithm, 20);
        run(&mut limit, 0, 1, |_| calls(10, 9));
        run(&mut limit, SECOND, 200, |limit| calls(100, limit.get()));
        assert_eq!(limit.baseline(), Some(Duration::from_millis(100)));
        assert!(limit.get() > 10, "{algorithm:?}: {}", limit.get());
    }
}

#[test]
fn limit_that_does_not_learn_stays_and_one_that_learns_again_goes_on() {
    for algorithm in all() {
        let mut limit = limit(algorithm, 20);
        limit.set_learning(false);
        run(&mut limit, 0, 100, |_| drops(50, 20));
        run(&mut limit, 0, 100, |_| calls(10, 20));
        assert_eq!(limit.as_f64(), 20.0);
        assert!(!limit.learns());
        limit.set_learning(true);
        run(&mut limit, 0, 2, |_| calls(10, 20));
        assert!(limit.as_f64() > 20.0);
    }
}

#[test]
fn pause_and_new_bounds_end_a_probe() {
    for end in [
        (|limit: &mut Limit| limit.set_learning(false)) as fn(&mut Limit) -> Option<Change>,
        |limit| limit.set_bounds(1, 999).expect("valid"),
    ] {
        let mut limit = limit(all()[1], 100);
        limit.on_window(calls(10, 9), at(1), || 0);
        limit.on_window(calls(10, 100), at(31 * SECOND), || 0);
        // It grew by twelve, and was halved.
        assert_eq!(limit.get(), 56);
        let change = end(&mut limit).expect("it was halved");
        assert_eq!((change.to, change.cause), (112, Cause::Probed));
        assert!(!limit.is_probing());
    }
}

#[test]
fn bounds_hold_and_can_be_moved() {
    for algorithm in all() {
        let mut limit = limit(algorithm, 20);
        let change = limit.set_bounds(30, 40).expect("valid").expect("it grew");
        assert_eq!(
            (change.from, change.to, change.cause),
            (20, 30, Cause::Bounds)
        );
        run(&mut limit, 0, 200, |limit| calls(10, limit.get()));
        assert_eq!(limit.get(), 40);
        run(&mut limit, 100 * SECOND, 200, |limit| {
            drops(50, limit.get())
        });
        assert_eq!(limit.get(), 30);
        assert!(limit.set_bounds(0, 9).is_err());
        assert!(limit.set_bounds(9, 8).is_err());
        assert_eq!(limit.bounds(), (30, 40));
    }
}

#[test]
fn clock_that_leaps_breaks_nothing() {
    for algorithm in all() {
        let mut limit = limit(algorithm, 20);
        let moments = [5, u64::MAX, 0, u64::MAX - 1, 3, 1 << 62, 0];
        for (n, now) in moments.into_iter().cycle().take(1_000).enumerate() {
            limit.on_window(calls(10 + n as u64 % 7, 20), at(now), || n as u64);
        }
        assert!((1..=1000).contains(&limit.get()));
    }
}

#[test]
fn every_cause_has_a_word_of_its_own() {
    let mut words: Vec<_> = Cause::ALL.map(Cause::as_str).to_vec();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Cause::ALL.len());
}
