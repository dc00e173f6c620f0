//! Decision for decision as `governor` does, on one clock and one schedule.

use std::num::NonZeroU32;

use governor::RateLimiter;
use governor::clock::Clock as _;
use seaworthy_kit::Clock;

use super::*;

/// Our clock, as governor reads one.
#[derive(Clone)]
struct Ours(Clock);

impl governor::clock::Clock for Ours {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now().as_nanos())
    }
}

/// An hour of calls in bursts and pauses.
fn schedule(seed: u64, interval: Duration) -> impl Iterator<Item = (Duration, u64)> {
    let mut draws = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || {
        let pause = match draws.u8(..10) {
            0..5 => Duration::ZERO,
            5..8 => interval.mul_f64(draws.f64()),
            8 => interval.mul_f64(draws.f64() * 10.0),
            _ => interval * draws.u32(..5),
        };
        (pause, draws.u64(1..6))
    })
}

fn quotas() -> [(Quota, governor::Quota); 6] {
    let n = |n| NonZeroU32::new(n).unwrap();
    [
        (Quota::per_second(10), governor::Quota::per_second(n(10))),
        (Quota::per_second(3), governor::Quota::per_second(n(3))),
        (
            Quota::per_second(7_777).with_burst(13),
            governor::Quota::per_second(n(7_777)).allow_burst(n(13)),
        ),
        (
            Quota::per_minute(100).with_burst(7),
            governor::Quota::per_minute(n(100)).allow_burst(n(7)),
        ),
        (
            Quota::per_hour(11).with_burst(1),
            governor::Quota::per_hour(n(11)).allow_burst(n(1)),
        ),
        (
            Quota::new(1, 37 * MS).with_burst(5),
            governor::Quota::with_period(37 * MS)
                .unwrap()
                .allow_burst(n(5)),
        ),
    ]
}

#[test]
fn layer_decides_as_governor_does() {
    for (ours, theirs) in quotas() {
        let time = ManualClock::new();
        let limiter = RateLimiter::direct_with_clock(theirs, Ours(time.clock()));
        let layer = RateLimitLayer::plain("api").quota(ours).clock(time.clock());
        let mut service = layer.build().unwrap().layer(answers::<()>());
        let (mut admitted, mut refused) = (0, 0);
        for (pause, _) in schedule(1, ours.interval()).take(20_000) {
            time.advance(pause);
            let wait = call(&mut service, ()).map(|refused| refused.retry_after().unwrap());
            let now = Ours(time.clock()).now();
            let expected = limiter.check().err().map(|not| not.wait_time_from(now));
            assert_eq!(wait, expected, "{ours:?}");
            match wait {
                None => admitted += 1,
                Some(_) => refused += 1,
            }
        }
        assert!(admitted > 1_000 && refused > 1_000, "{admitted} {refused}");
    }
}

#[test]
fn calls_that_cost_more_are_decided_as_governor_does() {
    for (ours, theirs) in quotas() {
        let time = ManualClock::new();
        let limiter = RateLimiter::direct_with_clock(theirs, Ours(time.clock()));
        let layer = RateLimitLayer::plain("api")
            .quota(ours)
            .clock(time.clock())
            .cost(|cost: &u64| *cost);
        let mut service = layer.build().unwrap().layer(answers::<u64>());
        for (pause, cost) in schedule(2, ours.interval()).take(20_000) {
            time.advance(pause);
            let answer = call(&mut service, cost);
            let now = Ours(time.clock()).now();
            match limiter.check_n(NonZeroU32::new(cost as u32).unwrap()) {
                Err(_) => assert_eq!(kind(answer), Some(RejectionKind::CostTooHigh)),
                Ok(expected) => {
                    let expected = expected.err().map(|not| not.wait_time_from(now));
                    let wait = answer.map(|refused| refused.retry_after().unwrap());
                    assert_eq!(wait, expected, "{ours:?}");
                }
            }
        }
    }
}

#[test]
fn quotas_are_those_of_governor() {
    for (ours, theirs) in quotas() {
        assert_eq!(ours.interval(), theirs.replenish_interval());
        assert_eq!(ours.burst(), u64::from(theirs.burst_size().get()));
    }
}
