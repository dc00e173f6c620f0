//! The percentile of what was recorded, and which calls are.

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Moment {
    Moment::ORIGIN + Duration::from_secs(3600) + Duration::from_millis(millis)
}

fn latency(min_samples: u32) -> Latency {
    let percentile = Percentile::new(0.9).min_samples(min_samples);
    Latency::try_new(percentile.window(Duration::from_secs(10))).unwrap()
}

/// About that many milliseconds: two digits are kept.
fn is_about(delay: Option<Duration>, millis: u32) -> bool {
    let most = MILLI * millis + MILLI * millis / 50;
    delay.is_some_and(|delay| delay >= MILLI * millis && delay <= most)
}

#[test]
fn nothing_is_known_before_there_are_enough_samples() {
    let latency = latency(10);
    for millis in 1..=9 {
        latency.record(MILLI * millis, at(0));
        assert_eq!(latency.delay(at(0)), None);
    }
    latency.record(10 * MILLI, at(0));
    assert!(is_about(latency.delay(at(0)), 9));
}

#[test]
fn old_samples_are_forgotten() {
    let latency = latency(10);
    (0..20).for_each(|_| latency.record(500 * MILLI, at(0)));
    assert!(is_about(latency.delay(at(0)), 500));
    // The first half is kept beside the second, and both are gone with the third.
    (0..20).for_each(|n| latency.record(5 * MILLI, at(5_000 + n)));
    (0..20).for_each(|n| latency.record(5 * MILLI, at(10_200 + n)));
    assert!(is_about(latency.delay(at(10_300)), 5));
    // And of those that nobody followed nothing is left.
    assert!(latency.delay(at(20_000)).is_some());
    assert_eq!(latency.delay(at(20_300)), None);
    latency.record(5 * MILLI, at(40_000));
    assert_eq!(latency.samples(), 1);
    assert_eq!(latency.delay(at(40_000)), None);
}

#[test]
fn both_halves_count_as_one() {
    let middle = Percentile::new(0.5).min_samples(10);
    let latency = Latency::try_new(middle.window(Duration::from_secs(10))).unwrap();
    (0..10).for_each(|_| latency.record(500 * MILLI, at(0)));
    (0..10).for_each(|n| latency.record(5 * MILLI, at(5_000 + 200 * n)));
    assert_eq!(latency.samples(), 20);
    assert!(is_about(latency.delay(at(6_800)), 5));
    latency.record(500 * MILLI, at(7_000));
    assert!(is_about(latency.delay(at(7_000)), 500));
}

#[test]
fn call_that_was_cut_counts_above_the_percentile_and_not_below() {
    let latency = latency(10);
    latency.measure_censored(at(0), || at(9));
    assert_eq!(latency.samples(), 0, "nothing is known yet");
    (0..20).for_each(|_| latency.record(5 * MILLI, at(0)));
    latency.measure_censored(at(0), || at(4));
    assert_eq!(latency.samples(), 20);
    latency.measure_censored(at(0), || at(6));
    assert_eq!(latency.samples(), 21);
}

#[test]
fn answers_at_once_are_samples_and_the_delay_is_a_millisecond_at_least() {
    let latency = latency(10);
    (0..20).for_each(|_| latency.measure_at_once());
    latency.record(Duration::ZERO, Moment::ORIGIN);
    assert_eq!(latency.samples(), 21);
    assert_eq!(latency.delay(Moment::ORIGIN), Some(MILLI));
}

#[test]
fn huge_latencies_and_a_clock_that_runs_backwards_are_borne() {
    let latency = latency(1);
    latency.record(Duration::MAX, at(1_000));
    latency.record(Duration::MAX, at(0));
    assert!(latency.delay(at(0)) >= Some(Duration::from_secs(599)));
    latency.record(MILLI, Moment::NEVER);
    assert_eq!(latency.samples(), 1);
}

#[test]
fn nonsense_is_an_error() {
    for share in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(Latency::try_new(Percentile::new(share)).is_err(), "{share}");
    }
    let percentile = Percentile::new(0.95);
    assert!(Latency::try_new(percentile.min_samples(0)).is_err());
    assert!(Latency::try_new(percentile.window(MILLI)).is_err());
    assert!(Latency::try_new(percentile.window(Duration::MAX)).is_err());
}

/// So many calls in each of so many seconds, of which every tenth takes 50 ms, the others 5; gives how many of them read the clock.
fn calls(latency: &Latency, seconds: std::ops::Range<u64>, each: u64) -> u64 {
    let mut read = 0;
    for call in seconds.start * each..seconds.end * each {
        let started = at(call * 1000 / each);
        let took = if call.is_multiple_of(10) { 50 } else { 5 };
        latency.measure(started, || {
            read += 1;
            started + MILLI * took
        });
    }
    read
}

#[test]
fn few_of_many_calls_are_measured_and_stand_for_all() {
    let latency = latency(10);
    let read = calls(&latency, 0..20, 10_000);
    assert!(read < 200_000 / 16, "{read}");
    // Half a window at least, and a window at most.
    let samples = latency.samples();
    assert!((40_000..=110_000).contains(&samples), "{samples}");
    let delay = latency.delay(at(20_000)).unwrap();
    assert!(delay >= 5 * MILLI && delay <= 51 * MILLI, "{delay:?}");
    let steep = Percentile::new(0.8).window(Duration::from_secs(10));
    let steep = Latency::try_new(steep).unwrap();
    calls(&steep, 0..20, 10_000);
    assert!(is_about(steep.delay(at(20_000)), 5));
    let tail = Percentile::new(0.97).window(Duration::from_secs(10));
    let tail = Latency::try_new(tail).unwrap();
    calls(&tail, 0..20, 10_000);
    assert!(is_about(tail.delay(at(20_000)), 50));
}

#[test]
fn calls_that_are_few_are_all_measured() {
    let latency = latency(10);
    assert_eq!(calls(&latency, 0..20, 20), 400);
}

#[test]
fn lull_after_many_calls_is_seen_within_a_few_looks() {
    let latency = latency(10);
    calls(&latency, 0..20, 10_000);
    // A look is a sixth of a second.
    let read = calls(&latency, 21..31, 10);
    assert!(read >= 90, "{read}");
}

#[test]
fn answers_at_once_are_drawn_although_nobody_looks() {
    let latency = latency(10);
    (0..100_000).for_each(|_| latency.measure_at_once());
    assert_eq!(latency.stride.load(Ordering::Relaxed), LONGEST_STRIDE);
    let samples = latency.samples();
    assert!((80_000..=120_000).contains(&samples), "{samples}");
}
