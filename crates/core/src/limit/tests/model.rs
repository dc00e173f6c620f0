//! The laws against the formulas as the reference writes them, on a list of all windows.

extern crate std;

use proptest::prelude::*;

use super::*;

/// The formulas of the reference, with the repairs; the baseline is given.
fn expected(algorithm: Algorithm, limit: f64, window: &Window, baseline: f64) -> f64 {
    let dropped = window.drops * 100 >= window.drops + window.calls && window.drops > 0;
    let unused = 2.0 * (window.in_flight as f64) < limit;
    let rtt = window.mean.as_nanos() as f64;
    let new = match algorithm {
        Algorithm::Aimd(_) if dropped => limit * 0.9,
        Algorithm::Aimd(_) if unused => limit,
        Algorithm::Aimd(_) => limit + 1.0,
        Algorithm::Vegas(_) => {
            let lg = limit.log10().floor().max(1.0);
            let queue = (limit * (1.0 - baseline / rtt)).ceil();
            if dropped {
                limit - lg
            } else if unused {
                limit
            } else if queue <= lg {
                limit + 6.0 * lg
            } else if queue < 3.0 * lg {
                limit + lg
            } else if queue > 6.0 * lg {
                limit - lg
            } else {
                limit
            }
        }
        Algorithm::Gradient2(_) => {
            let gradient = (1.5 * baseline / rtt).clamp(0.5, 1.0);
            let gradient = if dropped { 0.5 } else { gradient };
            let headroom = if gradient == 1.0 { 4.0 } else { 0.0 };
            if unused && !dropped {
                limit
            } else {
                0.8 * limit + 0.2 * (limit * gradient + headroom)
            }
        }
    };
    new.clamp(1.0, 1000.0)
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window = (1..2_000_u32, 0..5_u32, 1..400_u64, 0..1_200_usize);
    let window = window.prop_map(|(calls, drops, millis, in_flight)| Window {
        calls,
        drops: if drops == 4 { calls / 50 + 1 } else { 0 },
        cut: 0,
        mean: Duration::from_millis(millis),
        in_flight,
    });
    prop::collection::vec(window, 1..300)
}

proptest! {
    #[test]
    fn laws_agree_with_the_formulas_of_the_reference(
        law in 0..3_usize,
        initial in 1..1000_usize,
        windows in windows(),
    ) {
        let algorithm = all()[law];
        let config = LimitConfig { relearn: Duration::MAX, ..with(algorithm, initial) };
        let mut limit = Limit::try_new(config).expect("valid");
        for window in windows {
            let before = limit.as_f64();
            limit.on_window(window, at(1), || 0);
            // What the window taught counts for the window itself, as in the reference.
            // At the floor, it is learnt after the step.
            if limit.at_floor == 0 && limit.cause() == Cause::Slow {
                continue;
            }
            let rtt = window.mean.as_nanos() as f64;
            let baseline = limit.baseline.get_f64().unwrap_or(rtt).min(rtt);
            let expected = expected(algorithm, before, &window, baseline);
            let difference = (limit.as_f64() - expected).abs();
            prop_assert!(difference < 1e-6, "{} is not {expected}", limit.as_f64());
        }
    }

    /// Whatever is told to it, in whatever order.
    #[test]
    fn limit_stays_within_its_bounds(
        law in 0..3_usize,
        windows in windows(),
        moments in prop::collection::vec(any::<u64>(), 1..300),
        bounds in (1..50_usize, 50..2_000_usize),
    ) {
        let (min, max) = bounds;
        let config = LimitConfig { min, max, ..with(all()[law], 50) };
        let mut limit = Limit::try_new(config).expect("valid");
        for (window, now) in windows.into_iter().zip(moments) {
            let change = limit.on_window(window, at(now), || now);
            prop_assert!((min..=max).contains(&limit.get()));
            prop_assert!(limit.baseline().is_none_or(|b| b <= Duration::from_millis(400)));
            if let Some(change) = change {
                prop_assert_eq!(change.to, limit.get());
                prop_assert_ne!(change.from, change.to);
            }
        }
    }

    /// The baseline is learnt from windows, not made up: it lies between the fastest and the slowest of those that may teach it.
    #[test]
    fn baseline_lies_between_what_was_seen(
        law in 1..3_usize,
        windows in windows(),
    ) {
        let config = with(all()[law], 50);
        let mut limit = Limit::try_new(config).expect("valid");
        let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
        for window in windows {
            limit.on_window(window, at(1), || 0);
            least = least.min(window.mean);
            most = most.max(window.mean);
            if let Some(baseline) = limit.baseline() {
                // A step faster for the fast recovery of the long mean.
                prop_assert!(baseline + Duration::from_nanos(9) >= least.mul_f64(0.95));
                prop_assert!(baseline <= most);
            }
        }
    }
}
