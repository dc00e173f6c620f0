//! How long to wait before the next attempt.

use core::time::Duration;

use crate::InvalidConfig;
use crate::moment::nanos;

mod curve;
use curve::Curve;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// The wait before each retry: constant or growing, with the jitter that keeps clients from coming back together.
///
/// ```text
///   retry 0 ─────▶ retry 1 ────────▶ retry 2 ─────▶ ··· ─▶ retry n ─────▶ ···
///   base           base · factor     base · factor²        cap, and never more
///    ╰──────────────┴─────────────────┴──── jitter draws ───┴──▶ the wait
/// ```
///
/// Before retry `n`, the first being 0, and with a random number from 0 to 1 called `r`:
///
/// | jitter | wait |
/// |---|---|
/// | | `d = min(cap, base · factorⁿ)` |
/// | [`None`](Jitter::None) | `d` |
/// | [`Full`](Jitter::Full) | `d · r` |
/// | [`Equal`](Jitter::Equal) | `d/2 + d/2 · r` |
/// | [`Decorrelated`](Jitter::Decorrelated) | `base + (min(cap, 3 · previous) − base) · r` |
/// | [`Telescoping`](Jitter::Telescoping) | `(f(n + r) − f(n − 1 + r′)) · base/1.4`, where `f(t) = 2ᵗ · tanh √4t` until a wait would pass the cap and is a straight line from there, `r′` is the number drawn before, and `f` of less than zero is zero |
///
/// The cap comes before the jitter everywhere: capped afterwards, those that have waited longest would all wait exactly the cap, and come back together.
/// The first three formulas are those of the AWS Architecture Blog, "Exponential Backoff and Jitter", and the last is Polly's, but for the cap.
///
/// The default is 100 ms, doubling, at most 60 s, full jitter.
/// Durations count up to 584 years; a longer one is as long as that.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Backoff {
    /// In nanoseconds, and never above the cap.
    base: u64,
    cap: u64,
    /// Finite, and at least 1.
    factor: f64,
    jitter: Jitter,
}

/// Which part of a wait is left to chance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// None: exact, and every client comes back at the same time.
    None,
    /// All of it: the least load for the server, at the price of some very short waits.
    #[default]
    Full,
    /// Half of it: never less than half of the wait.
    Equal,
    /// Grown from the wait before instead of from the number of the attempt.
    ///
    /// The factor does not matter here.
    Decorrelated,
    /// Spread over the whole wait as with full jitter, but so that a short wait makes the next one longer.
    ///
    /// What a call waits in all is settled but for its last draw: after `n` retries it lies between `f(n − 1)` and `f(n)`, see [`Backoff`].
    /// No call loses all its attempts to a row of short waits, which full jitter allows, and no attempts clump, which they do with decorrelated jitter.
    /// It doubles: the factor does not matter here.
    Telescoping,
}

/// The last wait of the same call, on which the next one may depend; the default is that of a call that has not waited.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "how long a wait was and what was drawn for it is all there is to know"
)]
pub struct Previous {
    /// How long it was, whoever asked for it; for decorrelated jitter.
    pub wait: Duration,
    /// The number that was drawn for it; for telescoping jitter.
    pub draw: u64,
}

// ===== impl Backoff =====

impl Backoff {
    /// Always `delay`, without jitter.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        let delay = nanos(delay);
        Self {
            base: delay,
            cap: delay,
            factor: 1.0,
            jitter: Jitter::None,
        }
    }

    /// `base` at first, `factor` times as much each time, never more than `cap`; with full jitter.
    ///
    /// A `base` of zero waits never.
    ///
    /// # Errors
    /// If `factor` is not a finite number of at least 1, or if `cap` is below `base`.
    pub fn exponential(base: Duration, factor: f64, cap: Duration) -> Result<Self, InvalidConfig> {
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(InvalidConfig::new(
                "factor",
                "must be a finite number of at least 1.0",
            ));
        }
        if cap < base {
            return Err(InvalidConfig::new("cap", "must be at least the base"));
        }
        Ok(Self {
            base: nanos(base),
            cap: nanos(cap),
            factor,
            jitter: Jitter::Full,
        })
    }

    /// Sets the jitter.
    #[must_use]
    pub const fn jitter(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// The first wait, before jitter.
    #[must_use]
    pub const fn base(&self) -> Duration {
        Duration::from_nanos(self.base)
    }

    /// The longest wait.
    #[must_use]
    pub const fn cap(&self) -> Duration {
        Duration::from_nanos(self.cap)
    }

    /// Whether the waits are exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.jitter == Jitter::None
    }

    /// The wait before retry `number`, the first being 0.
    ///
    /// `previous` is the wait before that one; only decorrelated and telescoping jitter look at it.
    /// `draw` is a random number, evenly spread over all of `u64`.
    #[must_use]
    pub fn delay(&self, number: u32, previous: Previous, draw: u64) -> Duration {
        let nanos = match self.jitter {
            Jitter::None => self.full(number),
            Jitter::Full => share(self.full(number), draw),
            Jitter::Equal => {
                let full = self.full(number);
                // The odd nanosecond goes to the half that is drawn, so that all of it can be reached.
                full / 2 + share(full - full / 2, draw)
            }
            Jitter::Decorrelated => {
                // A first wait, or a shorter one that the server asked for, counts as the base.
                let most = nanos(previous.wait)
                    .max(self.base)
                    .saturating_mul(3)
                    .min(self.cap);
                self.base + share(most - self.base, draw)
            }
            Jitter::Telescoping => {
                let curve = Curve::new(self.base, self.cap);
                curve.step(number, previous.draw, draw).min(self.cap)
            }
        };
        debug_assert!(nanos <= self.cap, "jitter never goes beyond the cap");
        Duration::from_nanos(nanos)
    }

    /// The wait before jitter.
    fn full(&self, number: u32) -> u64 {
        let grown = self.base as f64 * power(self.factor, number);
        // Zero times infinity is not a number, of which the cast makes zero.
        // Above 2⁵³ a float is coarser than a nanosecond: it may round above the cap, or the cap below it.
        if grown >= self.cap as f64 {
            self.cap
        } else {
            (grown as u64).clamp(self.base, self.cap)
        }
    }
}

impl Default for Backoff {
    /// 100 ms, doubling, at most 60 s, full jitter.
    ///
    /// 100 ms lets a restarted connection come up; a minute is as long as anybody waits for an answer.
    fn default() -> Self {
        Self {
            base: 100_000_000,
            cap: 60_000_000_000,
            factor: 2.0,
            jitter: Jitter::Full,
        }
    }
}

/// From zero to all of `whole`, evenly, as `draw` says.
pub(crate) const fn share(whole: u64, draw: u64) -> u64 {
    (((whole as u128 + 1) * draw as u128) >> 64) as u64
}

/// `base` to the power of `exponent` in at most 32 rounds; infinite where it is too large, which no cap minds.
fn power(mut base: f64, mut exponent: u32) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}
