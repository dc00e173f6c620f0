//! The tokens of gRPC's retry throttling: retries stop while too many calls fail, whatever the clock says.

use core::fmt;

use crate::InvalidConfig;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Retry throttling as gRPC defines it, for one server name (gRFC A6, "Throttling Retry Attempts and Hedged RPCs").
///
/// A failure takes a token, a success gives a fraction of one back, and retries and hedges are sent only while more than half of the tokens are there.
/// First attempts are never held back, and they are what brings the tokens back: no time heals it.
/// With 10 tokens and a ratio of 0.1, retries stop where more than about one call in ten fails for long.
///
/// ```text
///               failures                      failures
///   full ─────────────────────▶ above half ─────────────▶ at half or below
///    ▲  ◀─────────────────────  (retries)  ◀─────────────   (no retries)
///    └── success: no write          successes
/// ```
///
/// All methods take `&self`; a success while all tokens are there only reads, so a healthy client writes nothing.
pub struct Throttle {
    /// In thousandths: the ratio has three decimals, and integers do not drift.
    tokens: AtomicU32,
    max: u32,
    ratio: u32,
}

impl Throttle {
    /// All tokens there.
    ///
    /// `token_ratio` counts with three decimals, as gRPC has it; further ones are dropped.
    ///
    /// # Errors
    /// If `max_tokens` is not between 1 and 1000, or `token_ratio` not between 0.001 and 1000.
    pub fn try_new(max_tokens: u32, token_ratio: f64) -> Result<Self, InvalidConfig> {
        if !(1..=1000).contains(&max_tokens) {
            return Err(InvalidConfig::new(
                "max_tokens",
                "must be between 1 and 1000",
            ));
        }
        // The sliver makes up for binary fractions: 0.29 is 0.28999… and means 290.
        let ratio = token_ratio * f64::from(TOKEN) + 1e-6;
        if !(ratio >= 1.0 && token_ratio <= 1000.0) {
            return Err(InvalidConfig::new(
                "token_ratio",
                "must be between 0.001 and 1000",
            ));
        }
        let max = max_tokens * TOKEN;
        Ok(Self {
            tokens: AtomicU32::new(max),
            max,
            ratio: ratio as u32,
        })
    }

    /// Whether retries and hedges may be sent: more than half of the tokens are there.
    #[must_use]
    pub fn allows_retry(&self) -> bool {
        self.tokens.load(Relaxed) * 2 > self.max
    }

    /// Counts an attempt that succeeded.
    pub fn on_success(&self) {
        self.update(|tokens| tokens.saturating_add(self.ratio).min(self.max));
    }

    /// Counts an attempt, a first one or a retry, that failed in a way that may be retried, or to which the server said not to.
    pub fn on_failure(&self) {
        self.update(|tokens| tokens.saturating_sub(TOKEN));
    }

    /// How many tokens there are.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        f64::from(self.tokens.load(Relaxed)) / f64::from(TOKEN)
    }

    /// How many tokens there can be.
    #[must_use]
    pub const fn max_tokens(&self) -> u32 {
        self.max / TOKEN
    }

    /// Writes only what changes: a full bucket stays shared between the caches of all cores.
    fn update(&self, change: impl Fn(u32) -> u32) {
        let mut tokens = self.tokens.load(Relaxed);
        loop {
            let next = change(tokens);
            debug_assert!(next <= self.max);
            if next == tokens {
                return;
            }
            match self
                .tokens
                .compare_exchange_weak(tokens, next, Relaxed, Relaxed)
            {
                Ok(_) => return,
                Err(changed) => tokens = changed,
            }
        }
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("tokens", &self.tokens())
            .field("max_tokens", &self.max_tokens())
            .finish_non_exhaustive()
    }
}

/// One token, in thousandths.
const TOKEN: u32 = 1000;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn throttle(max_tokens: u32, token_ratio: f64) -> Throttle {
        Throttle::try_new(max_tokens, token_ratio).expect("valid")
    }

    #[test]
    fn configuration_out_of_range_is_refused() {
        for wrong in [0, 1001, u32::MAX] {
            assert!(Throttle::try_new(wrong, 0.1).is_err(), "{wrong}");
        }
        for wrong in [
            0.0,
            0.000_9,
            -0.1,
            1000.1,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert!(Throttle::try_new(10, wrong).is_err(), "{wrong}");
        }
        assert!(Throttle::try_new(1000, 1000.0).is_ok());
        assert!(Throttle::try_new(1, 0.001).is_ok());
    }

    #[test]
    fn ratio_has_three_decimals() {
        for (given, thousandths) in [
            (0.1, 100),
            (0.29, 290),
            (0.5466, 546),
            (0.001, 1),
            (1.0, 1000),
        ] {
            assert_eq!(throttle(10, given).ratio, thousandths, "{given}");
        }
    }

    #[test]
    fn retries_stop_at_half_and_start_again_above_it() {
        let throttle = throttle(10, 0.1);
        for _ in 0..4 {
            throttle.on_failure();
            assert!(throttle.allows_retry());
        }
        throttle.on_failure();
        assert_eq!(throttle.tokens(), 5.0);
        assert!(
            !throttle.allows_retry(),
            "exactly half is not more than half"
        );
        throttle.on_success();
        assert!(throttle.allows_retry());
    }

    #[test]
    fn half_of_an_odd_number_is_not_rounded() {
        let throttle = throttle(3, 0.001);
        throttle.on_failure();
        assert!(throttle.allows_retry(), "2 is more than 1.5");
        throttle.on_failure();
        assert!(!throttle.allows_retry());
    }

    proptest! {
        #[test]
        fn throttle_agrees_with_a_naive_model(
            max in 1..20_u32,
            thousandths in 1..3_000_u32,
            failures in prop::collection::vec(any::<bool>(), 0..300),
        ) {
            let throttle = throttle(max, f64::from(thousandths) / 1000.0);
            let mut model = i64::from(max) * 1000;
            for failed in failures {
                if failed {
                    throttle.on_failure();
                    model = (model - 1000).max(0);
                } else {
                    throttle.on_success();
                    model = (model + i64::from(thousandths)).min(i64::from(max) * 1000);
                }
                prop_assert_eq!(i64::from(throttle.tokens.load(Relaxed)), model);
                prop_assert_eq!(throttle.allows_retry(), model > i64::from(max) * 500);
            }
        }
    }
}
