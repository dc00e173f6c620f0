//! Calls of seconds and minutes, call by call: that the limit follows as it does for fast ones, only later.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use super::*;

/// A service that is always asked for more than the limit, and does all at once.
struct Busy {
    limit: Limit,
    samples: Samples,
    now: u64,
    /// Those that run: when they end, when they began, as one of how many, and whether they are dropped then.
    running: BinaryHeap<Reverse<(u64, u64, usize, bool)>>,
    probing: u64,
}

impl Busy {
    fn new(config: LimitConfig) -> Self {
        Self {
            limit: Limit::try_new(config).expect("valid"),
            samples: Samples::new(&config),
            now: SECOND,
            running: BinaryHeap::new(),
            probing: 0,
        }
    }

    /// For so many calls that end.
    fn run(&mut self, calls: usize, took: impl Fn(usize) -> u64, dropped: bool) {
        for call in 0..calls {
            while self.running.len() < self.limit.get() {
                let end = self.now + took(call + self.running.len());
                let in_flight = self.running.len() + 1;
                self.running
                    .push(Reverse((end, self.now, in_flight, dropped)));
            }
            let Reverse((end, began, in_flight, dropped)) = self.running.pop().expect("one runs");
            if self.limit.is_probing() {
                self.probing += end - self.now;
            }
            self.now = end;
            let over = if dropped {
                self.samples.on_drop(at(began), at(end), in_flight)
            } else {
                self.samples.on_success(at(began), at(end), in_flight)
            };
            if over {
                self.limit.close(&self.samples, at(end), || 0);
            }
        }
    }

    /// The same for so many seconds.
    fn run_for(&mut self, secs: u64, took: impl Fn(usize) -> u64 + Copy) {
        let until = self.now + secs * SECOND;
        while self.now < until {
            self.run(1, took, false);
        }
    }
}

fn up_to(algorithm: Algorithm, initial: usize, max: usize) -> LimitConfig {
    LimitConfig {
        max,
        ..with(algorithm, initial)
    }
}

#[test]
fn limit_grows_however_long_calls_take() {
    for algorithm in all() {
        for (initial, secs) in [(1, 3), (4, 5), (8, 10), (20, 30), (1, 60)] {
            let mut busy = Busy::new(up_to(algorithm, initial, 50));
            // 150 calls one after the other.
            busy.run_for(secs * 150, |_| secs * SECOND);
            let (limit, name) = (busy.limit.get(), algorithm.as_str());
            let reached = if busy.limit.is_probing() { 25 } else { 50 };
            assert_eq!(limit, reached, "{name}: from {initial}, {secs} s");
        }
    }
}

#[test]
fn limit_comes_back_after_an_outage_however_long_calls_take() {
    for algorithm in all() {
        for (before, secs) in [(1, 1), (3, 3), (30, 30), (1, 3)] {
            let mut busy = Busy::new(up_to(algorithm, 20, 50));
            busy.run(1_000, |_| before * SECOND, false);
            busy.run(4_000, |_| 9 * SECOND, true);
            let name = algorithm.as_str();
            assert_eq!(busy.limit.get(), 1, "{name}: {before} s");
            // Slower than it was, it waits for a probe, after 200 calls one after the other.
            busy.run_for(secs * 400, |_| secs * SECOND);
            assert!(busy.limit.get() >= 25, "{name}: {before} s, then {secs} s");
        }
    }
}

#[test]
fn service_that_became_far_slower_is_believed_in_the_end() {
    for algorithm in all() {
        let mut busy = Busy::new(up_to(algorithm, 20, 50));
        busy.run_for(60, |_| 10 * MILLI);
        // Each at once, and 3,000 times as slow.
        busy.run_for(4 * 3600, |_| 30 * SECOND);
        let name = algorithm.as_str();
        assert!(busy.limit.get() >= 25, "{name}: {}", busy.limit.get());
    }
}

#[test]
fn probes_cost_less_than_one_call_in_a_hundred_however_long_calls_take() {
    for algorithm in &all()[1..] {
        for millis in [10, 300, 1_000, 3_000, 10_000, 60_000] {
            for limit in [2, 4, 20] {
                let config = LimitConfig {
                    min: 1,
                    ..up_to(*algorithm, limit, limit)
                };
                let mut busy = Busy::new(config);
                let took = |_| millis * MILLI;
                busy.run_for(millis * 2, took);
                // Each is half of the limit.
                let (probing, all) = (busy.probing, busy.now - SECOND);
                assert!(probing > 0, "{millis} ms, {limit} at once: it never learns");
                assert!(
                    probing * 100 < all * 2,
                    "{}: {millis} ms, {limit} at once: {probing} of {all}",
                    algorithm.as_str()
                );
            }
        }
    }
}

#[test]
fn window_needs_no_more_than_two_calls_for_each_slot() {
    for (initial, expected) in [(1, 2), (2, 4), (4, 8), (5, 10), (1_000, 10)] {
        let limit = limit(all()[0], initial);
        let samples = Samples::new(&LimitConfig::default());
        samples.open(at(SECOND), limit.terms(Duration::ZERO, Duration::ZERO));
        for n in 1..=expected {
            let over = samples.on_success(at(SECOND), at(2 * SECOND), 1);
            assert_eq!(over, n == expected, "{n} of {expected} for {initial}");
        }
    }
}

#[test]
fn few_calls_do_not_replace_the_baseline_by_what_chance_made_of_them() {
    let mut limit = limit(all()[2], 2);
    limit.on_window(calls(100, 1), at(1), || 0);
    let few = Window {
        calls: 2,
        ..calls(200, 0)
    };
    limit.on_window(few, at(60 * SECOND), || 0);
    assert_eq!(limit.baseline(), Some(Duration::from_millis(120)));
}

#[test]
fn callers_that_read_slowly_do_not_bring_the_limit_down() {
    // Of 200, a mean that is 6 % above the baseline is a queue of twelve, and all that Vegas allows.
    for (algorithm, least) in all().into_iter().zip([190, 100, 190]) {
        let mut busy = Busy::new(up_to(algorithm, 20, 200));
        busy.run_for(60, |_| 50 * MILLI);
        let slow = |call: usize| {
            if call.is_multiple_of(200) {
                20 * SECOND
            } else {
                50 * MILLI
            }
        };
        let mut lowest = usize::MAX;
        for _ in 0..1_000 {
            busy.run(200, slow, false);
            if !busy.limit.is_probing() {
                lowest = lowest.min(busy.limit.get());
            }
        }
        let name = algorithm.as_str();
        assert!(lowest >= least, "{name}: {lowest}");
        if let Some(baseline) = busy.limit.baseline() {
            let millis = baseline.as_millis();
            assert!((49..60).contains(&millis), "{name}: {millis} ms");
        }
    }
}

#[test]
fn tolerance_for_more_than_eight_baselines_can_still_be_exceeded() {
    let law = Algorithm::Gradient2(Gradient2::new().tolerance(20.0));
    let config = LimitConfig {
        relearn: Duration::MAX,
        ..up_to(law, 20, 20)
    };
    for (slower, falls) in [(15, false), (30, true), (300, true)] {
        let mut busy = Busy::new(config);
        busy.run(200, |_| 50 * MILLI, false);
        busy.run(200, |_| slower * 50 * MILLI, false);
        assert_eq!(busy.limit.get() < 20, falls, "{slower} times slower");
    }
}
