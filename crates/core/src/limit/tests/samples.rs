//! The samples: what a window counts, when it is over, and what it makes of the clock.

use proptest::prelude::*;

use super::*;

/// Samples whose window began at a second and lasts 200 ms.
fn open() -> Samples {
    let samples = Samples::new(&LimitConfig::default());
    samples.open(at(SECOND), terms(false));
    samples
}

fn terms(only_new: bool) -> Terms {
    Terms {
        length: Duration::from_millis(200),
        calls: 10,
        took: Duration::ZERO,
        longest: Duration::MAX,
        only_new,
    }
}

fn call(samples: &Samples, millis: u64, end: u64, in_flight: usize) -> bool {
    let began = end.saturating_sub(millis * MILLI);
    samples.on_success(at(began), at(end), in_flight)
}

#[test]
fn window_is_over_after_its_time_and_enough_calls() {
    let samples = open();
    for n in 1..=10 {
        assert!(!call(&samples, 5, SECOND + n, 1), "too early");
    }
    let samples = open();
    for _ in 0..9 {
        assert!(!call(&samples, 5, 2 * SECOND, 1), "too few");
    }
    assert!(call(&samples, 5, 2 * SECOND, 1));
}

#[test]
fn drops_count_towards_the_calls_of_a_window() {
    let samples = open();
    for _ in 0..5 {
        call(&samples, 5, 2 * SECOND, 1);
    }
    for _ in 0..4 {
        assert!(!samples.on_drop(at(SECOND), at(2 * SECOND), 1));
    }
    assert!(samples.on_drop(at(SECOND), at(2 * SECOND), 7));
    let window = samples.take();
    assert_eq!((window.calls, window.drops, window.in_flight), (5, 5, 7));
}

#[test]
fn calls_that_were_cut_count_towards_the_calls_of_a_window_and_are_no_drops() {
    let samples = open();
    for _ in 0..5 {
        call(&samples, 5, 2 * SECOND, 1);
    }
    for _ in 0..4 {
        assert!(!samples.on_cut(at(SECOND), at(2 * SECOND), 1));
    }
    assert!(samples.on_cut(at(SECOND), at(2 * SECOND), 7));
    let window = samples.take();
    assert!(samples.are_enough(&window));
    assert_eq!((window.calls, window.drops, window.cut), (5, 0, 5));
    assert_eq!((window.in_flight, samples.take().cut), (7, 0));
    // In a probe, only calls that began in it.
    samples.open(at(3 * SECOND), terms(true));
    samples.on_cut(at(SECOND), at(3 * SECOND), 1);
    assert_eq!(samples.take().cut, 0);
}

#[test]
fn more_calls_cut_than_there_is_room_for_are_many() {
    let samples = open();
    for _ in 0..200_000 {
        samples.on_cut(at(SECOND), at(SECOND), 1);
    }
    assert_eq!(samples.take().cut, 0xF000);
}

#[test]
fn window_in_which_all_were_cut_is_looked_at_though_it_has_too_few() {
    for algorithm in all() {
        let (mut limit, samples) = (limit(algorithm, 20), open());
        samples.on_cut(at(SECOND), at(2 * SECOND), 20);
        limit.close(&samples, at(60 * SECOND), || 0);
        assert_eq!(limit.cause(), Cause::Dropped, "{algorithm:?}");
    }
}

#[test]
fn mean_and_most_in_flight_are_those_of_the_window() {
    let samples = open();
    for (millis, in_flight) in [(1, 3), (2, 9), (6, 4)] {
        call(&samples, millis, 2 * SECOND, in_flight);
    }
    let window = samples.take();
    assert_eq!(window.calls, 3);
    assert_eq!(window.mean.as_micros(), 2_999, "in units of 256 ns");
    assert_eq!(window.in_flight, 9);
    assert_eq!(samples.take(), Window::default());
}

#[test]
fn call_that_took_no_time_says_nothing() {
    let samples = open();
    for _ in 0..100 {
        assert!(!call(&samples, 0, 2 * SECOND, 9));
        // It began later than it ended.
        assert!(!samples.on_success(at(3 * SECOND), at(2 * SECOND), 9));
    }
    assert_eq!(samples.take(), Window::default());
}

#[test]
fn usual_call_writes_once() {
    use crate::sync::counted::writes;
    let samples = open();
    call(&samples, 5, SECOND + 1, 9);
    for in_flight in [9, 3] {
        let written = writes(|| {
            call(&samples, 5, SECOND + 1, in_flight);
        });
        assert_eq!(written, 1);
    }
}

#[test]
fn calls_from_before_a_probe_do_not_count_in_it() {
    let samples = open();
    samples.open(at(2 * SECOND), terms(true));
    call(&samples, 600, 2 * SECOND + 500 * MILLI, 9);
    samples.on_drop(at(SECOND), at(3 * SECOND), 9);
    assert_eq!(samples.take(), Window::default());
    call(&samples, 500, 2 * SECOND + 500 * MILLI, 4);
    assert_eq!(samples.take().in_flight, 4);
}

#[test]
fn window_without_enough_calls_grows_old_and_is_thrown_away() {
    let mut limit = limit(all()[1], 20);
    let samples = open();
    for second in 1..10 {
        call(&samples, 5, second * SECOND, 20);
        assert_eq!(limit.close(&samples, at(second * SECOND), || 0), None);
    }
    assert_eq!(limit.baseline(), None);
    // An hour later, what was seen before does not count.
    let samples = open();
    call(&samples, 900, 2 * SECOND, 20);
    let later = 3600 * SECOND;
    assert!(call(&samples, 5, later, 20));
    assert_eq!(limit.close(&samples, at(later), || 0), None);
    assert_eq!(limit.baseline(), None);
    for n in 0..10 {
        call(&samples, 5, later + SECOND + n, 20);
    }
    limit.close(&samples, at(later + SECOND + 9), || 0);
    let baseline = limit.baseline().expect("enough");
    assert_eq!(baseline.as_micros(), 4_999);
}

#[test]
fn drops_of_a_slow_trickle_are_not_thrown_away() {
    let mut limit = limit(all()[0], 20);
    let samples = open();
    samples.on_drop(at(SECOND), at(2 * SECOND), 20);
    let later = at(30 * SECOND);
    let change = limit.close(&samples, later, || 0).expect("it fell");
    assert_eq!((change.to, change.cause), (18, Cause::Dropped));
}

#[test]
fn probe_of_which_nothing_came_is_over_in_time() {
    let mut limit = limit(all()[1], 100);
    limit.on_window(calls(10, 9), at(1), || 0);
    limit.on_window(calls(10, 100), at(31 * SECOND), || 0);
    assert!(limit.is_probing());
    let samples = open();
    samples.open(at(31 * SECOND), terms(true));
    call(&samples, 10, 60 * SECOND, 1);
    assert!(limit.close(&samples, at(60 * SECOND), || 0).is_some());
    assert!(!limit.is_probing());
    assert_eq!(limit.baseline(), Some(Duration::from_millis(10)));
    limit.on_window(calls(10, 100), at(89 * SECOND), || 0);
    assert!(!limit.is_probing(), "the next would find as little");
    limit.on_window(calls(10, 100), at(90 * SECOND), || 0);
    assert!(limit.is_probing());
}

#[test]
fn thread_that_read_the_clock_a_moment_ago_ends_no_window() {
    let samples = Samples::new(&LimitConfig::default());
    samples.open(at(9 * SECOND), terms(true));
    for now in [9 * SECOND - 1, 8 * SECOND] {
        assert!(!call(&samples, 5, now, 3));
        assert!(!samples.on_drop(at(now - 1), at(now), 3));
    }
    let none = samples.take();
    assert_eq!(none, Window::default(), "all began before the probe");
    assert!(call(&samples, 5, 8 * SECOND - 1, 3));
}

#[test]
fn call_that_took_far_longer_counts_as_the_longest() {
    let samples = open();
    let longest = Duration::from_millis(40);
    samples.open(
        at(SECOND),
        Terms {
            longest,
            ..terms(false)
        },
    );
    for millis in [40, 41, 1_900] {
        call(&samples, millis, 2 * SECOND, 1);
    }
    assert_eq!(samples.take().mean, longest);
    let slowest = samples.take_slowest();
    assert_eq!(slowest.as_millis(), 1_900, "it is known all the same");
    call(&samples, 40, 2 * SECOND, 1);
    assert_eq!(samples.take_slowest(), Duration::ZERO);
}

#[test]
fn window_of_slow_calls_waits_for_ten_of_them() {
    let took = Duration::from_secs(60);
    let samples = open();
    samples.open(
        at(SECOND),
        Terms {
            took,
            ..terms(false)
        },
    );
    assert!(!samples.is_over(at(600 * SECOND)));
    assert!(samples.is_over(at(601 * SECOND)));
}

#[test]
fn samples_are_in_one_line_of_the_cache() {
    assert_eq!(size_of::<Samples>(), 64);
}

#[test]
fn clock_that_ran_backwards_ends_the_window() {
    let samples = Samples::new(&LimitConfig::default());
    samples.open(at(1 << 60), terms(true));
    assert!(samples.is_over(at(SECOND)));
    call(&samples, 5, SECOND, 3);
    assert_eq!(
        samples.take().calls,
        1,
        "it does not wait for the clock to come back"
    );
}

#[test]
fn very_many_and_very_long_calls_do_not_overflow() {
    let samples = open();
    for _ in 0..200_000 {
        samples.on_success(at(0), at(u64::MAX), usize::MAX);
    }
    assert!(
        samples.is_over(at(SECOND + 1)),
        "too many to wait for its time"
    );
    let window = samples.take();
    assert_eq!(window.calls, 0xF000);
    assert_eq!(window.mean.as_secs(), 1_099);
    assert_eq!(window.in_flight, usize::MAX);
}

proptest! {
    #[test]
    fn samples_agree_with_a_list_of_all_calls(
        calls in prop::collection::vec((0..5_000_u64, 0..100_usize, any::<bool>()), 0..300),
    ) {
        let samples = open();
        let (mut took, mut drops, mut most) = (Vec::new(), 0, 0);
        for (micros, in_flight, dropped) in calls {
            let end = 2 * SECOND;
            let began = at(end - micros * 1_000);
            if dropped {
                samples.on_drop(began, at(end), in_flight);
                drops += 1;
                most = most.max(in_flight);
            } else if micros > 0 {
                samples.on_success(began, at(end), in_flight);
                took.push(micros * 1_000);
                most = most.max(in_flight);
            }
        }
        let window = samples.take();
        prop_assert_eq!(window.calls as usize, took.len());
        prop_assert_eq!(window.drops, drops);
        prop_assert_eq!(window.in_flight, most);
        let sum: u64 = took.iter().sum();
        let mean = sum.checked_div(took.len() as u64).unwrap_or(0);
        let seen = window.mean.as_nanos() as u64;
        prop_assert!(seen <= mean && mean <= seen + 256);
    }
}
