//! Probes: what they believe, what they take for a queue of our own, and when the next one comes.

use super::*;

const LAWS: [usize; 2] = [1, 2];

/// A limit of a hundred whose calls took so many milliseconds at first, and so many when a probe was due.
fn probing(law: usize, at_first: u64, then: u64) -> Limit {
    let mut limit = limit(all()[law], 100);
    limit.on_window(calls(at_first, 9), at(1), || 0);
    limit.on_window(calls(then, 100), at(31 * SECOND), || 0);
    assert!(limit.is_probing());
    limit
}

/// Windows that use what there is, of so many milliseconds; how often the limit was halved for them.
fn halvings(limit: &mut Limit, windows: &[u64]) -> u32 {
    let mut halvings = 1;
    for millis in windows {
        assert!(limit.is_probing(), "it ended before {millis} ms");
        let before = limit.as_f64();
        limit.on_window(calls(*millis, limit.get()), at(32 * SECOND), || 0);
        if limit.is_probing() {
            assert_eq!(limit.as_f64(), before / 2.0);
            assert_eq!(limit.cause(), Cause::Probing);
            halvings += 1;
        }
    }
    assert!(!limit.is_probing());
    assert_eq!(limit.cause(), Cause::Probed);
    halvings
}

fn baseline(limit: &Limit) -> u128 {
    limit.baseline().expect("it was learnt").as_millis()
}

#[test]
fn queue_that_is_left_at_half_the_limit_is_no_baseline() {
    for law in LAWS {
        // A sixth of the workers is left: 58 ms are a queue of five others for each.
        let mut limit = probing(law, 10, 58);
        let before = 2.0 * limit.as_f64();
        assert_eq!(halvings(&mut limit, &[40, 20, 11]), 3);
        assert_eq!(baseline(&limit), 11);
        assert_eq!(limit.as_f64(), before, "it goes back to what it was");
    }
}

#[test]
fn calls_that_halving_makes_no_faster_are_believed() {
    for law in LAWS {
        for (windows, learnt) in [(&[44][..], 44), (&[43, 33], 33), (&[40, 20, 16], 16)] {
            let mut limit = probing(law, 10, 58);
            assert_eq!(halvings(&mut limit, windows) as usize, windows.len());
            assert_eq!(baseline(&limit), learnt);
        }
    }
}

#[test]
fn calls_near_the_baseline_are_no_queue() {
    for law in LAWS {
        let mut limit = probing(law, 10, 20);
        assert_eq!(halvings(&mut limit, &[12]), 1);
        assert_eq!(baseline(&limit), 12);
        let mut limit = probing(law, 10, 20);
        assert_eq!(halvings(&mut limit, &[13, 10]), 2);
        assert_eq!(baseline(&limit), 10);
    }
}

/// No call counts for more than eight baselines: two such means say nothing of each other.
#[test]
fn calls_that_took_too_long_to_compare_are_looked_at_once_more() {
    for law in LAWS {
        let mut limit = probing(law, 10, 80);
        assert_eq!(halvings(&mut limit, &[80, 40, 20, 10]), 4);
        assert_eq!(baseline(&limit), 10);
        // Slower for good, they are believed all the same.
        let mut limit = probing(law, 10, 80);
        assert_eq!(halvings(&mut limit, &[300, 300]), 2);
        assert_eq!(baseline(&limit), 300);
    }
}

#[test]
fn probe_that_nobody_filled_has_no_queue_of_ours() {
    for law in LAWS {
        let mut limit = probing(law, 10, 58);
        let unused = calls(40, limit.get() / 2 - 1);
        limit.on_window(unused, at(32 * SECOND), || 0);
        assert!(!limit.is_probing());
        assert_eq!(baseline(&limit), 40);
    }
}

#[test]
fn lowest_limit_ends_a_probe() {
    for law in LAWS {
        let config = LimitConfig {
            min: 40,
            ..with(all()[law], 100)
        };
        let mut limit = Limit::try_new(config).expect("valid");
        limit.on_window(calls(10, 9), at(1), || 0);
        limit.on_window(calls(58, 100), at(31 * SECOND), || 0);
        limit.on_window(calls(42, limit.get()), at(32 * SECOND), || 0);
        assert_eq!((limit.get(), limit.is_probing()), (40, true));
        limit.on_window(calls(30, 40), at(33 * SECOND), || 0);
        assert!(!limit.is_probing());
        assert_eq!(baseline(&limit), 30);
    }
}

#[test]
fn drops_end_a_probe_that_went_on() {
    for law in LAWS {
        let mut limit = probing(law, 10, 58);
        let before = 2.0 * limit.as_f64();
        limit.on_window(calls(40, limit.get()), at(32 * SECOND), || 0);
        assert!(limit.is_probing());
        let lost = Window {
            drops: 50,
            ..calls(20, limit.get())
        };
        limit.on_window(lost, at(33 * SECOND), || 0);
        assert!(!limit.is_probing());
        assert_eq!((limit.as_f64(), baseline(&limit)), (before, 10));
    }
}

/// What a call counts for at most must leave room for what a probe compares.
#[test]
fn call_of_a_probe_counts_for_as_much_as_those_before_it_took() {
    let mut limit = probing(1, 10, 60);
    let terms = |limit: &Limit| limit.terms(Duration::ZERO, Duration::ZERO).longest;
    assert_eq!(terms(&limit), 8 * Duration::from_millis(60));
    limit.set_learning(false);
    assert_eq!(terms(&limit), 8 * Duration::from_millis(10));
}

/// The moment of the next probe, in seconds, of a limit that is used all the time from the first second on.
fn next_probe(limit: &mut Limit, from: u64, millis: u64) -> u64 {
    let seconds = from..from + 100_000;
    let due = |second: &u64| {
        limit.on_window(calls(millis, 1_000), at(second * SECOND), || 0);
        limit.is_probing()
    };
    seconds.into_iter().find(due).expect("it comes")
}

#[test]
fn probes_are_paced_by_what_calls_take_without_a_queue() {
    for law in LAWS {
        // 200 times the baseline, not what an overload has made of them.
        for (baseline, then, expected) in [
            (10, 10, 30),
            (10, 9_000, 30),
            (300, 300, 60),
            (300, 900, 60),
        ] {
            let mut limit = limit(all()[law], 100);
            limit.on_window(calls(baseline, 9), at(0), || 0);
            assert_eq!(
                next_probe(&mut limit, 1, then),
                expected,
                "{baseline}, {then} ms"
            );
        }
    }
}

#[test]
fn next_probe_is_paced_by_what_the_last_one_learnt() {
    for law in LAWS {
        let mut limit = probing(law, 10, 58);
        assert_eq!(halvings(&mut limit, &[500]), 1);
        // 200 times 500 ms after 32 s.
        assert_eq!(next_probe(&mut limit, 33, 600), 132);
    }
}

#[test]
fn probe_that_came_to_nothing_does_not_wait_for_what_an_overload_made_of_calls() {
    for law in LAWS {
        let mut limit = probing(law, 10, 900);
        let lost = Window {
            drops: 50,
            ..calls(900, limit.get())
        };
        limit.on_window(lost, at(32 * SECOND), || 0);
        // An eighth of 30 s.
        assert_eq!(next_probe(&mut limit, 33, 900), 36);

        let mut limit = probing(law, 10, 900);
        let samples = Samples::new(&with(all()[law], 100));
        samples.open(at(31 * SECOND), limit.terms(Duration::ZERO, Duration::ZERO));
        limit.close(&samples, at(60 * SECOND), || 0);
        assert!(!limit.is_probing(), "nobody called");
        assert_eq!(next_probe(&mut limit, 61, 900), 90);
    }
}

#[test]
fn baseline_that_fell_far_is_looked_at_again_soon() {
    for law in LAWS {
        for (learnt, expected) in [(79, 36), (81, 62)] {
            let mut limit = probing(law, 100, 100);
            assert_eq!(halvings(&mut limit, &[learnt]), 1);
            assert_eq!(baseline(&limit), u128::from(learnt));
            assert_eq!(next_probe(&mut limit, 33, learnt), expected, "{learnt} ms");
        }
    }
}
