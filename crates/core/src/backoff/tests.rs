//! Delays against hand-made tables and against themselves.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const HALF: u64 = 1 << 63;
const JITTERS: [Jitter; 5] = [
    Jitter::None,
    Jitter::Full,
    Jitter::Equal,
    Jitter::Decorrelated,
    Jitter::Telescoping,
];

/// After a wait that long, for which nothing was drawn.
fn after(wait: Duration) -> Previous {
    Previous { wait, draw: 0 }
}

fn exponential(base: Duration, factor: f64, cap: Duration) -> Backoff {
    Backoff::exponential(base, factor, cap).expect("valid")
}

fn delays(backoff: &Backoff, numbers: core::ops::Range<u32>, draw: u64) -> Vec<u128> {
    numbers
        .map(|number| backoff.delay(number, Previous::default(), draw).as_millis())
        .collect()
}

#[test]
fn configuration_that_cannot_work_is_refused() {
    for wrong in [0.0, 0.999, -2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = Backoff::exponential(MILLI, wrong, MILLI).expect_err("not a factor");
        assert_eq!(error.option(), "factor");
    }
    let error = Backoff::exponential(MILLI * 2, 2.0, MILLI).expect_err("the cap is too low");
    assert_eq!(error.option(), "cap");
    assert!(Backoff::exponential(Duration::ZERO, 1.0, Duration::ZERO).is_ok());
    assert!(Backoff::exponential(Duration::MAX, f64::MAX, Duration::MAX).is_ok());
}

#[test]
fn constant_stays_what_it_is() {
    let backoff = Backoff::constant(MILLI * 7);
    assert_eq!(delays(&backoff, 0..3, u64::MAX), [7, 7, 7]);
    assert_eq!(backoff.delay(u32::MAX, after(Duration::MAX), 0), MILLI * 7);
}

#[test]
fn exponential_doubles_up_to_the_cap() {
    let backoff = exponential(MILLI * 100, 2.0, MILLI * 1000).jitter(Jitter::None);
    assert_eq!(delays(&backoff, 0..6, 0), [100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn small_base_grows_by_a_small_factor() {
    // Counted in whole milliseconds, one and a half would stay one for ever.
    let backoff = exponential(MILLI, 1.5, MILLI * 1000).jitter(Jitter::None);
    assert_eq!(delays(&backoff, 0..5, 0), [1, 1, 2, 3, 5]);
}

#[test]
fn default_is_what_the_docs_say() {
    let exact = Backoff::default().jitter(Jitter::None);
    assert_eq!(delays(&exact, 0..3, 0), [100, 200, 400]);
    assert_eq!(
        exact.delay(1000, Previous::default(), 0),
        Duration::from_secs(60)
    );
    assert_eq!(
        delays(&Backoff::default(), 0..3, HALF),
        [50, 100, 200],
        "full jitter"
    );
}

#[test]
fn jitter_spreads_as_its_formula_says() {
    let backoff = exponential(MILLI * 100, 2.0, MILLI * 1000);
    let check = |jitter, expected: [u128; 3]| {
        let backoff = backoff.jitter(jitter);
        let got =
            [0, HALF, u64::MAX].map(|draw| backoff.delay(1, after(MILLI * 100), draw).as_millis());
        assert_eq!(got, expected, "{jitter:?}");
    };
    check(Jitter::None, [200, 200, 200]);
    check(Jitter::Full, [0, 100, 200]);
    check(Jitter::Equal, [100, 150, 200]);
    check(Jitter::Decorrelated, [100, 200, 300]);
    // f(1) = 1.93, f(1.5) = 2.79 and f(2) = 3.97 units of 100/1.4 ms.
    check(Jitter::Telescoping, [137, 199, 283]);
}

#[test]
fn decorrelated_jitter_grows_from_the_wait_before() {
    let backoff = exponential(MILLI * 100, 2.0, MILLI * 1000).jitter(Jitter::Decorrelated);
    let longest = |previous| backoff.delay(9, after(previous), u64::MAX).as_millis();
    assert_eq!(
        longest(Duration::ZERO),
        300,
        "a first wait counts as the base"
    );
    assert_eq!(longest(MILLI * 300), 900);
    assert_eq!(longest(MILLI * 400), 1000);
    assert_eq!(longest(Duration::MAX), 1000);
    assert_eq!(backoff.delay(9, after(MILLI * 900), 0).as_millis(), 100);
}

#[test]
fn telescoping_jitter_makes_up_for_a_short_wait() {
    let backoff = exponential(MILLI * 100, 2.0, MILLI * 10_000).jitter(Jitter::Telescoping);
    let wait = |drawn| {
        let previous = Previous {
            wait: Duration::ZERO,
            draw: drawn,
        };
        backoff.delay(3, previous, HALF)
    };
    assert!(wait(0) > wait(HALF) && wait(HALF) > wait(u64::MAX));
}

#[test]
fn cap_comes_before_the_jitter() {
    for jitter in [
        Jitter::Full,
        Jitter::Equal,
        Jitter::Decorrelated,
        Jitter::Telescoping,
    ] {
        let backoff = exponential(MILLI * 100, 2.0, MILLI * 1000).jitter(jitter);
        let half = backoff.delay(1000, after(MILLI * 1000), HALF);
        assert!(half < MILLI * 900, "{jitter:?}: {half:?} clumps at the cap");
    }
}

#[test]
fn cap_that_no_float_can_tell_is_kept_all_the_same() {
    // The nearest float is one nanosecond more.
    let cap = Duration::from_nanos((1 << 53) + 3);
    let backoff = exponential(Duration::from_nanos(1), 2.0, cap).jitter(Jitter::Telescoping);
    assert!(backoff.delay(1000, after(Duration::ZERO), u64::MAX) <= cap);
}

#[test]
fn zero_base_never_waits() {
    for jitter in JITTERS {
        let backoff = exponential(Duration::ZERO, f64::MAX, MILLI).jitter(jitter);
        assert_eq!(
            backoff.delay(u32::MAX, Previous::default(), 0),
            Duration::ZERO,
            "{jitter:?}"
        );
    }
    let backoff = exponential(Duration::ZERO, f64::MAX, MILLI);
    assert_eq!(
        backoff.delay(u32::MAX, Previous::default(), u64::MAX),
        Duration::ZERO
    );
}

#[test]
fn equal_jitter_reaches_an_odd_wait() {
    let backoff = exponential(Duration::from_nanos(3), 1.0, MILLI).jitter(Jitter::Equal);
    assert_eq!(
        backoff.delay(0, Previous::default(), 0),
        Duration::from_nanos(1)
    );
    assert_eq!(
        backoff.delay(0, Previous::default(), u64::MAX),
        Duration::from_nanos(3)
    );
}

/// Multiplies one attempt at a time, in nanoseconds without end.
fn model(base: u64, factor: u32, cap: u64, number: u32) -> u64 {
    let mut delay = u128::from(base);
    for _ in 0..number {
        delay = (delay * u128::from(factor)).min(u128::from(cap));
    }
    delay as u64
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        any::<u64>().prop_map(Duration::from_nanos),
        (0..100_000_u64).prop_map(Duration::from_millis),
    ]
}

proptest! {
    #[test]
    fn whole_factors_agree_with_a_naive_model(
        base in 0..10_000_000_000_u64,
        factor in 1..5_u32,
        extra in 0..1_000_000_000_000_u64,
        number in 0..200_u32,
    ) {
        let cap = base + extra;
        let backoff =
            exponential(Duration::from_nanos(base), f64::from(factor), Duration::from_nanos(cap))
                .jitter(Jitter::None);
        let got = backoff.delay(number, Previous::default(), 0).as_nanos() as u64;
        prop_assert_eq!(got, model(base, factor, cap, number));
    }

    #[test]
    fn jittered_waits_agree_with_their_formulas(
        base in 0..10_000_000_000_u64,
        factor in 1..5_u32,
        extra in 0..1_000_000_000_000_u64,
        draws in prop::collection::vec(any::<u64>(), 1..40),
    ) {
        let cap = base + extra;
        for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
            let backoff =
                exponential(Duration::from_nanos(base), f64::from(factor), Duration::from_nanos(cap))
                    .jitter(jitter);
            let mut previous = Previous::default();
            for (number, &draw) in (0..).zip(&draws) {
                let got = backoff.delay(number, previous, draw);
                let d = model(base, factor, cap, number) as f64;
                let r = draw as f64 / 2.0_f64.powi(64);
                let expected = match jitter {
                    Jitter::Full => d * r,
                    Jitter::Equal => d / 2.0 + d / 2.0 * r,
                    _ => {
                        let before = previous.wait.as_nanos().max(u128::from(base));
                        let most = (3 * before).min(u128::from(cap));
                        base as f64 + (most - u128::from(base)) as f64 * r
                    }
                };
                prop_assert!((got.as_nanos() as f64 - expected).abs() < 1.5, "{:?}: {:?} {}", jitter, got, expected);
                previous = Previous { wait: got, draw };
            }
        }
    }

    #[test]
    fn nothing_overflows_and_nothing_exceeds_the_cap(
        (one, other) in (any_duration(), any_duration()),
        factor in prop_oneof![1.0..4.0_f64, Just(f64::MAX), Just(1.0)],
        number: u32,
        (previous, drawn) in (any_duration(), any::<u64>()),
        draw: u64,
    ) {
        let (base, cap) = (one.min(other), one.max(other));
        for jitter in JITTERS {
            let backoff = exponential(base, factor, cap).jitter(jitter);
            let delay = backoff.delay(number, Previous { wait: previous, draw: drawn }, draw);
            prop_assert!(delay <= cap);
            let least = match jitter {
                Jitter::Full | Jitter::Telescoping => Duration::ZERO,
                Jitter::Equal => backoff.base() / 2,
                Jitter::None | Jitter::Decorrelated => backoff.base(),
            };
            prop_assert!(delay >= least, "{:?}: {:?} below {:?}", jitter, delay, least);
        }
    }

    #[test]
    fn wait_never_shrinks_with_the_attempts(
        base in any_duration(),
        percent in 100..1_000_u32,
        number in 0..10_000_u32,
    ) {
        let backoff = exponential(base, f64::from(percent) / 100.0, Duration::MAX)
            .jitter(Jitter::None);
        let delay = |number| backoff.delay(number, Previous::default(), 0);
        prop_assert!(delay(number) <= delay(number + 1));
    }

    #[test]
    fn share_reaches_both_ends(whole: u64, draw: u64) {
        prop_assert_eq!(share(whole, 0), 0);
        prop_assert!(share(whole, draw) <= whole);
        // An even draw falls short of the end only where there are more steps than draws.
        prop_assert!(share(whole, u64::MAX) >= whole - u64::from(whole == u64::MAX));
    }
}
