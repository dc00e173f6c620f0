//! The dimmer: what each latency does to the share, when it is frozen, and against a naive model.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn config() -> DimmerConfig {
    DimmerConfig::new(200 * MS)
}

struct Test {
    dimmer: Dimmer,
    latencies: Latencies,
    now: Moment,
}

impl Test {
    fn new(config: DimmerConfig) -> Self {
        let mut test = Self {
            dimmer: Dimmer::try_new(config).expect("valid"),
            latencies: Latencies::new(),
            now: Moment::ORIGIN + 1000 * SECOND,
        };
        assert_eq!(test.dimmer.close(&test.latencies, test.now), None);
        test
    }

    /// A period of so many calls that took so long.
    fn period(&mut self, calls: u32, took: Duration) -> Option<Step> {
        self.now = self.now + SECOND;
        for _ in 0..calls {
            assert!(self.latencies.record(took, self.now));
        }
        self.dimmer.close(&self.latencies, self.now)
    }

    fn share(&self) -> f64 {
        self.dimmer.share().as_f64()
    }
}

#[test]
fn option_that_cannot_work_is_refused() {
    for (wrong, option) in [
        (DimmerConfig::new(Duration::ZERO), "setpoint"),
        (config().period(Duration::ZERO), "period"),
        (config().period(Duration::MAX), "period"),
        (config().quantile(0.0), "quantile"),
        (config().quantile(1.1), "quantile"),
        (config().quantile(f64::NAN), "quantile"),
        (config().pole(1.0), "pole"),
        (config().pole(-0.1), "pole"),
        (config().min_samples(0), "min_samples"),
        (config().most(0.0), "most"),
        (config().most(f64::NAN), "most"),
        (config().least(0.6).most(0.5), "least"),
        (config().least(-0.1), "least"),
        (config().rotation(59 * SECOND), "rotation"),
    ] {
        let error = Dimmer::try_new(wrong).expect_err(option);
        assert_eq!(error.option(), option);
    }
}

#[test]
fn slow_period_dims_and_quick_one_brightens() {
    let mut test = Test::new(config());
    let mut before = 1.0;
    for _ in 0..5 {
        test.period(50, 400 * MS).expect("enough calls");
        assert!(test.share() < before);
        before = test.share();
    }
    for _ in 0..5 {
        test.period(50, 100 * MS).expect("enough calls");
        assert!(test.share() > before);
        before = test.share();
    }
}

#[test]
fn latency_at_the_setpoint_moves_nothing() {
    let mut test = Test::new(config());
    test.period(50, 500 * MS);
    // The histogram sees a latency somewhere in its step: one that it takes for the setpoint.
    let seen = test.period(1000, 200 * MS).expect("enough calls").latency;
    let took = (200 * MS).mul_f64(0.2 / seen.as_secs_f64());
    let before = test.share();
    test.period(1000, took);
    assert!((test.share() - before).abs() < 0.02, "{}", test.share());
}

#[test]
fn too_few_calls_freeze_the_share() {
    let mut test = Test::new(config());
    test.period(50, 500 * MS);
    let before = test.share();
    assert_eq!(test.period(10, 900 * MS), None);
    assert_eq!(test.share(), before);
    // The period goes on: ten and ten are enough.
    assert_eq!(test.period(10, 900 * MS).map(|step| step.samples), Some(20));
    assert!(test.share() < before);
}

#[test]
fn old_calls_that_were_too_few_are_thrown_away() {
    let mut test = Test::new(config());
    test.period(19, 900 * MS);
    test.now = test.now + 60 * SECOND;
    assert_eq!(test.dimmer.close(&test.latencies, test.now), None);
    assert_eq!(test.period(1, 900 * MS), None, "the nineteen are gone");
    assert_eq!(test.dimmer.share(), Share::ALL);
}

#[test]
fn period_ends_once() {
    let mut test = Test::new(config());
    assert!(test.period(50, 400 * MS).is_some());
    assert_eq!(test.dimmer.close(&test.latencies, test.now), None);
    assert!(!test.latencies.record(MS, test.now));
}

#[test]
fn clock_set_back_begins_the_period_anew() {
    let mut test = Test::new(config());
    test.now = Moment::ORIGIN;
    assert!(test.latencies.record(400 * MS, test.now), "before it began");
    assert_eq!(test.dimmer.close(&test.latencies, test.now), None);
    assert!(!test.latencies.record(400 * MS, test.now));
    assert!(test.period(50, 400 * MS).is_some());
}

#[test]
fn share_stays_within_its_bounds() {
    let mut test = Test::new(config().least(0.2).most(0.9));
    assert_eq!(test.share(), 0.9);
    for _ in 0..100 {
        test.period(50, 9000 * MS);
    }
    assert_eq!(test.share(), 0.2);
    for _ in 0..300 {
        test.period(50, MS);
    }
    assert_eq!(test.share(), 0.9);
}

#[test]
fn way_back_from_a_long_hopeless_overload_is_no_crawl() {
    let mut test = Test::new(config());
    for _ in 0..3600 {
        test.period(50, 60 * SECOND);
    }
    assert_eq!(test.dimmer.share(), Share::NONE);
    let mut periods = 0;
    while test.share() < 0.9 {
        test.period(50, 20 * MS);
        periods += 1;
    }
    assert!(periods < 60, "{periods}");
}

#[test]
fn who_is_included_stays_so_at_a_larger_share() {
    assert!(!Share::NONE.includes(0));
    assert!(Share::ALL.includes(u64::MAX));
    let half = Share::of(0.5);
    assert!(half.includes(u64::MAX / 2 - 1_000_000_000_000_000));
    assert!(!half.includes(u64::MAX / 2 + 1_000_000_000_000_000));
}

#[test]
fn what_is_no_fraction_is_cut_to_one() {
    for (given, kept) in [
        (-1.0, 0.0),
        (f64::NAN, 0.0),
        (2.0, 1.0),
        (f64::INFINITY, 1.0),
        (0.25, 0.25),
    ] {
        assert_eq!(Share::of(given).as_f64(), kept, "{given}");
    }
    assert_eq!(Share::from_millionths(u32::MAX), Share::ALL);
}

/// The law as the paper writes it, and what a period is, on a count of calls.
struct Model {
    share: f64,
    slope: f64,
    doubt: f64,
    calls: u64,
    opened: u64,
}

impl Model {
    /// Whether the period ends with a step.
    fn ends(&mut self, now: u64) -> bool {
        const PERIOD: u64 = 1_000_000_000;
        if now < self.opened {
            self.opened = now;
            return false;
        }
        let age = now - self.opened;
        let ends = age >= PERIOD && self.calls >= 20;
        if ends || age >= 10 * PERIOD {
            self.calls = 0;
            self.opened = now;
        }
        ends
    }

    fn step(&mut self, latency: Duration) {
        let (t, p, theta) = (latency.as_secs_f64() / 0.2, self.doubt, self.share);
        let t = t.min(10.0);
        let p = (p - p * p * theta * theta / (0.95 + theta * theta * p)) / 0.95;
        self.doubt = p.clamp(0.001, 100.0);
        self.slope += self.doubt * theta * (t - self.slope * theta);
        self.slope = self.slope.clamp(0.05, 10.0);
        self.share = (theta + 0.1 / self.slope * (1.0 - t)).clamp(0.0, 1.0);
    }
}

proptest! {
    #[test]
    fn acts_as_the_law_on_a_count(
        ops in prop::collection::vec(
            (0..3_000_u32, 0..60_u64, 1..1_000_u32, prop::bool::weighted(0.05)),
            1..60,
        ),
    ) {
        let mut test = Test::new(config());
        let mut model = Model {
            share: 1.0,
            slope: 1.0,
            doubt: 1.0,
            calls: 0,
            opened: test.now.as_nanos(),
        };
        for (gap, calls, took, back) in ops {
            test.now = if back { test.now - gap * MS } else { test.now + gap * MS };
            for _ in 0..calls {
                let _ = test.latencies.record(took * MS, test.now);
            }
            model.calls += calls;
            let step = test.dimmer.close(&test.latencies, test.now);
            prop_assert_eq!(step.is_some(), model.ends(test.now.as_nanos()));
            if let Some(step) = step {
                prop_assert_eq!(step.from, Share::of(model.share));
                model.step(step.latency);
                prop_assert_eq!(step.to, Share::of(model.share));
                let over = step.latency > test.dimmer.setpoint();
                let follows = if over { step.to <= step.from } else { step.to >= step.from };
                prop_assert!(follows, "{:?}", step);
            }
            prop_assert_eq!(test.latencies.count(), model.calls);
        }
    }

    #[test]
    fn any_numbers_and_times_are_survived(
        ops in prop::collection::vec((any::<u64>(), any::<u64>(), 0..40_u8), 0..100),
    ) {
        let mut test = Test::new(config());
        for (now, took, calls) in ops {
            for _ in 0..calls {
                let _ = test.latencies.record(Duration::from_nanos(took), Moment::from_nanos(now));
            }
            let _ = test.dimmer.close(&test.latencies, Moment::from_nanos(now));
            prop_assert!((0.0..=1.0).contains(&test.share()));
        }
    }

    #[test]
    fn share_of_draws_is_the_share(fraction in 0.0..=1.0, seed: u64) {
        let share = Share::of(fraction);
        let draws = (0..1000_u64).map(|n| (seed ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let included = draws.filter(|draw| share.includes(*draw)).count() as f64;
        prop_assert!((included / 1000.0 - fraction).abs() < 0.1, "{included}");
    }
}
