//! The curve whose steps are the waits of telescoping jitter.

use super::power;

/// How long a call may have waited by a given time, counted in retries.
///
/// ```text
///   waited in all              ╱  straight: from here on two steps of the line are the cap
///      ▲                     ╱
///      │                  _╱ knee
///      │               _-
///      │        __..--     2ᵗ · tanh √4t
///      └──────────────────────────▶ t = retry + draw
/// ```
///
/// Each retry draws its place within one unit of `t`, and waits for as long as the curve rises from the last place to this one.
/// So a wait depends on two draws, and their sum on the last one only.
pub(super) struct Curve {
    /// What one unit of the curve is in nanoseconds.
    scale: f64,
    /// Where the curve goes on straight.
    knee: u32,
    /// How steeply: two draws are less than two retries apart, and what lies between them must not pass the cap.
    slope: f64,
}

impl Curve {
    /// The curve of a backoff, its base and cap in nanoseconds.
    pub(super) fn new(base: u64, cap: u64) -> Self {
        // By this the median of the first wait is near the base.
        let scale = base as f64 / 1.4;
        let slope = cap as f64 / scale / 2.0;
        // Below the knee the longest step is three quarters of 2ᵏⁿᵉᵉ, and at the knee half of that and the slope.
        // A base of zero has an infinite slope, and a scale of zero that makes nothing of it.
        let mut knee = 0;
        while knee < 64 && power(2.0, knee) <= slope {
            knee += 1;
        }
        Self {
            scale,
            knee: knee.saturating_sub(1),
            slope,
        }
    }

    /// How far the curve rises from the place that was drawn for the last retry to that for this one, in nanoseconds.
    pub(super) fn step(&self, number: u32, drawn: u64, draw: u64) -> u64 {
        let (from, to) = (fraction(drawn), fraction(draw));
        let rise = if number == 0 {
            self.reach(0, to)
        } else if number > self.knee {
            // Both on the line; far out there, the places themselves are too large to be told apart.
            self.slope * (1.0 + to - from)
        } else {
            self.reach(number, to) - self.reach(number - 1, from)
        };
        // A base of zero makes zero times infinity, which is no number, of which the cast makes zero.
        (rise * self.scale) as u64
    }

    fn reach(&self, number: u32, place: f64) -> f64 {
        if number < self.knee {
            curved(number, place)
        } else {
            let straight = f64::from(number - self.knee) + place;
            curved(self.knee, 0.0) + self.slope * straight
        }
    }
}

/// `2ᵗ · tanh √4t` with `t = number + place`.
fn curved(number: u32, place: f64) -> f64 {
    let t = f64::from(number) + place;
    exp2(number, place) * tanh_of_root(4.0 * t)
}

/// From 0 to 1, evenly, as `draw` says.
fn fraction(draw: u64) -> f64 {
    draw as f64 / 18_446_744_073_709_551_616.0
}

/// 2 to the power of `whole + rest`, the rest being between 0 and 1.
fn exp2(whole: u32, rest: f64) -> f64 {
    let exponent = rest * core::f64::consts::LN_2;
    // The series of the exponential function: its 20th term is below the precision of the sum.
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..20_u32 {
        term *= exponent / f64::from(n);
        sum += term;
    }
    power(2.0, whole) * sum
}

/// The hyperbolic tangent of the square root.
fn tanh_of_root(square: f64) -> f64 {
    if square <= 0.0 {
        return 0.0;
    }
    // From here on it is 1 to the last bit.
    if square >= 400.0 {
        return 1.0;
    }
    // Newton's method comes from above and stops where precision ends, after forty rounds for the smallest draw there is.
    let mut root = f64::midpoint(square, 1.0);
    loop {
        let next = f64::midpoint(root, square / root);
        if next >= root {
            break;
        }
        root = next;
    }
    // tanh x = 1 − 2 / (e²ˣ + 1)
    let exponent = 2.0 * root * core::f64::consts::LOG2_E;
    let whole = exponent as u32;
    1.0 - 2.0 / (exp2(whole, exponent - f64::from(whole)) + 1.0)
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// As the formula is written down, with the functions of the standard library.
    fn formula(t: f64) -> f64 {
        t.exp2() * (4.0 * t).sqrt().tanh()
    }

    fn close(got: f64, expected: f64) -> bool {
        (got - expected).abs() <= 1e-9 * expected.abs().max(1e-3)
    }

    #[test]
    fn curve_is_that_of_the_formula() {
        for number in 0..60 {
            for place in 0..=100_u32 {
                let place = f64::from(place) / 100.0;
                let got = curved(number, place);
                let expected = formula(f64::from(number) + place);
                assert!(close(got, expected), "{number} + {place}: {got} {expected}");
            }
        }
    }

    #[test]
    fn waits_add_up_to_what_the_last_draw_says() {
        // Far from the cap: Polly's own formula.
        let curve = Curve::new(1_000_000, u64::MAX);
        let draws: [u64; 6] = [0, u64::MAX, 1 << 62, 1 << 63, 7 << 61, 1 << 40];
        let mut waited = 0;
        let mut drawn = 0;
        for (number, draw) in draws.into_iter().enumerate() {
            waited += curve.step(number as u32, drawn, draw);
            let expected = formula(number as f64 + fraction(draw)) * 1_000_000.0 / 1.4;
            assert!((waited as f64 - expected).abs() < 10.0, "{number}");
            drawn = draw;
        }
    }

    proptest! {
        #[test]
        fn sum_of_the_waits_stays_between_two_points_of_the_curve(
            base in 1..1_000_000_000_u64,
            times in 1..1_000_u64,
            draws in prop::collection::vec(any::<u64>(), 1..40),
        ) {
            let curve = Curve::new(base, base * times);
            let (mut drawn, mut waited) = (0, 0.0);
            for (number, &draw) in draws.iter().enumerate() {
                waited += curve.step(number as u32, drawn, draw) as f64;
                drawn = draw;
            }
            let last = draws.len() as u32 - 1;
            let least = curve.reach(last, 0.0) * curve.scale;
            let most = curve.reach(last, 1.0) * curve.scale;
            // Each wait is rounded down to a nanosecond.
            let slack = draws.len() as f64 + most * 1e-9;
            prop_assert!(waited >= least - slack && waited <= most + slack, "{} {} {}", least, waited, most);
        }

        #[test]
        fn no_step_passes_the_cap_before_it_is_cut_off(
            base in 1..1_000_000_000_000_u64,
            over in 0..1_000_000_000_000_000_u64,
            number in prop_oneof![0..70_u32, any::<u32>()],
            (drawn, draw) in (any::<u64>(), any::<u64>()),
        ) {
            let cap = base + over;
            let step = Curve::new(base, cap).step(number, drawn, draw);
            prop_assert!(step as f64 <= cap as f64 * (1.0 + 1e-9), "{} > {}", step, cap);
        }
    }

    #[test]
    fn longest_and_shortest_draws_are_inside_the_cap_too() {
        let ends = [0, u64::MAX];
        let steps: Vec<_> = (0..70)
            .flat_map(|number| ends.map(|drawn| (number, drawn)))
            .flat_map(|(number, drawn)| ends.map(|draw| (number, drawn, draw)))
            .collect();
        for times in 1..200 {
            let curve = Curve::new(1_000, 1_000 * times);
            for &(number, drawn, draw) in &steps {
                assert!(curve.step(number, drawn, draw) <= 1_000 * times, "{number}");
            }
        }
    }
}
