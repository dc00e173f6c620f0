//! The share of late calls against a naive model, which keeps every call.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::ORIGIN + Duration::from_secs(60) + Duration::from_millis(millis)
}

fn tail(config: TailConfig) -> Tail {
    Tail::try_new(config).expect("a valid one")
}

#[test]
fn few_late_calls_are_a_tail_and_many_are_the_rule() {
    let mut tail = tail(TailConfig::default());
    // One call in ten is late.
    assert!((1..=10).all(|tenth| tail.late(at(tenth), tenth * 10)));
    // Then each one is.
    let verdicts: Vec<_> = (101..=200).map(|n| tail.late(at(n), n)).collect();
    // The window begins with the tenth call: 20 late ones of 101 are less than a fifth, 21 of 102 are more.
    assert!(verdicts[..10].iter().all(|&tail| tail));
    assert!(verdicts[10..].iter().all(|&tail| !tail));
}

#[test]
fn nothing_is_said_of_few_calls() {
    let mut tail = tail(TailConfig::default().least_calls(20));
    assert!((1..20).all(|n| tail.late(at(n), n)));
    assert!(!tail.late(at(20), 20));
}

#[test]
fn late_calls_that_were_offered_before_the_window_count() {
    let mut tail = tail(TailConfig::default().least_calls(20));
    let verdicts: [bool; 30] = core::array::from_fn(|n| tail.late(at(n as u64), 1_000));
    assert_eq!(verdicts.iter().filter(|&&tail| tail).count(), 19);
}

#[test]
fn late_calls_are_forgotten_after_the_window() {
    let mut tail = tail(TailConfig::default());
    let last = (1..=101).map(|n| tail.late(at(n), n)).last();
    assert_eq!(last, Some(false));
    // Two seconds of calls that are not late are not enough, ten seconds are.
    assert!(!tail.late(at(2_000), 130));
    assert!(tail.late(at(10_200), 200));
}

#[test]
fn shares_of_zero_and_one_are_never_and_always() {
    let mut never = tail(TailConfig::default().most(0.0).least_calls(0));
    let mut always = tail(TailConfig::default().most(1.0).least_calls(0));
    for n in 1..100 {
        assert!(!never.late(at(n), n));
        assert!(always.late(at(n), n));
    }
    assert!(!never.late(Moment::NEVER, u64::MAX));
}

#[test]
fn nonsense_is_an_error() {
    let config = TailConfig::default();
    for wrong in [-0.1, 1.1, f64::NAN] {
        assert!(Tail::try_new(config.most(wrong)).is_err(), "{wrong}");
    }
    for wrong in [Duration::ZERO, Duration::MAX] {
        assert!(Tail::try_new(config.window(wrong)).is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn tail_agrees_with_a_naive_model(
        most in 0..=10_u32,
        least_calls in 0..30_u32,
        calls in prop::collection::vec((0..400_i64, any::<bool>(), 0..12_u8), 1..200),
    ) {
        let half = 500_i64;
        let config = TailConfig::default()
            .most(f64::from(most) / 10.0)
            .least_calls(least_calls)
            .window(Duration::from_millis(1000));
        let mut tail = tail(config);
        // The number of each late call.
        let mut late: Vec<u64> = Vec::new();
        let (mut since, mut window_from, mut half_from) = (i64::MIN / 4, 1, 1);
        let mut now = 0;
        for (number, (gap, is_late, jump)) in (1_u64..).zip(calls) {
            // Now and then a long pause, or a clock that runs backwards.
            now = match jump {
                0 => now + 10 * gap,
                1 => (now - gap).max(0),
                _ => now + gap / 8,
            };
            if !is_late {
                continue;
            }
            if now - since >= half {
                window_from = if now - since >= 2 * half { number } else { half_from };
                half_from = number;
                since = now;
            }
            late.push(number);
            let counted = late.iter().filter(|&&it| it >= window_from).count() as u64;
            let offered = (number - window_from + 1).max(counted);
            let expected =
                offered < u64::from(least_calls) || counted * 10 <= u64::from(most) * offered;
            prop_assert_eq!(tail.late(at(now as u64), number), expected);
        }
    }
}
