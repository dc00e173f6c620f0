//! How a limit follows from what a window has shown: three laws.

use super::baseline::Baseline;
use super::config::{Aimd, Algorithm, Gradient2, Vegas};
use super::{Cause, LONGEST};

/// An algorithm; what it remembers beside the limit is the [`Baseline`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Law(Algorithm);

// ===== impl Law =====

impl Law {
    pub(super) const fn new(algorithm: Algorithm) -> Self {
        Self(algorithm)
    }

    /// Whether it asks what calls take without a queue.
    pub(super) const fn has_baseline(self) -> bool {
        !matches!(self.0, Algorithm::Aimd(_))
    }

    /// So many baselines are the most that one call counts for: the law must be able to tell that a window is as slow as can be.
    pub(super) fn longest(self) -> u32 {
        match self.0 {
            Algorithm::Aimd(_) | Algorithm::Vegas(_) => LONGEST,
            // Twice what is as good as any slower mean.
            Algorithm::Gradient2(law) => (law.tolerance * 4.0) as u32,
        }
        .max(LONGEST)
    }

    /// The limit after a window with too many drops.
    pub(super) fn after_drops(self, limit: f64) -> f64 {
        match self.0 {
            Algorithm::Aimd(Aimd { backoff, .. }) => limit * backoff.as_f64(),
            Algorithm::Vegas(_) => limit - lg(limit),
            Algorithm::Gradient2(law) => smooth(limit, limit * LEAST_GRADIENT, law),
        }
    }

    /// The limit after a window that used it and lost nothing.
    pub(super) fn step(self, limit: f64, mean: f64, baseline: f64) -> (f64, Cause) {
        match self.0 {
            Algorithm::Aimd(_) => (limit + 1.0, Cause::Fast),
            Algorithm::Vegas(law) => vegas(limit, mean, baseline, law),
            Algorithm::Gradient2(law) => gradient(limit, mean, baseline, law),
        }
    }

    /// What a window teaches the baseline: where less than half was used whatever it was, else only that calls can be faster.
    pub(super) fn learn(self, baseline: &mut Baseline, mean: f64, unused: bool) {
        let is_faster = baseline.get_f64().is_none_or(|known| mean < known);
        match self.0 {
            Algorithm::Aimd(_) => {}
            // Not the least that was ever seen: of noisy means, that is far below what calls take.
            Algorithm::Vegas(_) if is_faster => baseline.approach(mean, NOTICED),
            Algorithm::Vegas(_) => {}
            Algorithm::Gradient2(law) => {
                if unused || is_faster {
                    baseline.average(mean, law.long_window);
                }
                if baseline
                    .get_f64()
                    .is_some_and(|known| known > mean * FAR_ABOVE)
                {
                    baseline.shrink(QUICKER);
                }
            }
        }
    }
}

fn vegas(limit: f64, mean: f64, baseline: f64, law: Vegas) -> (f64, Cause) {
    // How many of those that run wait in a queue somewhere.
    let queued = limit * (1.0 - (baseline / mean).min(1.0));
    let lg = lg(limit);
    let (alpha, beta) = (f64::from(law.alpha) * lg, f64::from(law.beta) * lg);
    // Rounded up, it would be at most the threshold, below alpha, above beta.
    if queued <= lg {
        (limit + beta, Cause::Fast)
    } else if queued <= alpha - 1.0 {
        (limit + lg, Cause::Fast)
    } else if queued > beta {
        (limit - lg, Cause::Slow)
    } else {
        (limit, Cause::Steady)
    }
}

fn gradient(limit: f64, mean: f64, baseline: f64, law: Gradient2) -> (f64, Cause) {
    let gradient = law.tolerance * baseline / mean;
    if gradient < 1.0 {
        // No headroom here: with it, a limit of a service that stays slow climbs on.
        let wanted = limit * gradient.max(LEAST_GRADIENT);
        (smooth(limit, wanted, law), Cause::Slow)
    } else {
        (
            smooth(limit, limit + f64::from(law.headroom), law),
            Cause::Fast,
        )
    }
}

fn smooth(limit: f64, wanted: f64, law: Gradient2) -> f64 {
    let share = law.smoothing.as_f64();
    limit * (1.0 - share) + wanted * share
}

/// The decimal logarithm, rounded down, and at least one.
fn lg(limit: f64) -> f64 {
    f64::from((limit as u64).max(1).ilog10().max(1))
}

/// A limit falls by no more than half, before it is smoothed.
const LEAST_GRADIENT: f64 = 0.5;

/// What one faster window is worth to Vegas: a baseline comes down within a dozen, and one window of luck does little.
const NOTICED: f64 = 0.1;

/// A long mean that is this far above the present one is of another time, and goes by [`QUICKER`] with each window.
const FAR_ABOVE: f64 = 2.0;
const QUICKER: f64 = 0.95;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_that_of_whole_decades() {
        for (limit, expected) in [(0.0, 1.0), (1.0, 1.0), (9.9, 1.0), (10.0, 1.0), (99.9, 1.0)] {
            assert_eq!(lg(limit), expected, "{limit}");
        }
        for (limit, expected) in [(100.0, 2.0), (999.9, 2.0), (1000.0, 3.0), (1e6, 6.0)] {
            assert_eq!(lg(limit), expected, "{limit}");
        }
    }
}
