//! Values of a configuration that cannot be wrong once they exist, and the error for those that would be.

use core::fmt;

/// A configuration that cannot work, found when it is built and never at request time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidConfig {
    option: &'static str,
    reason: &'static str,
}

impl InvalidConfig {
    /// `option` as its setter is called, and what is wrong with its value.
    #[must_use]
    pub const fn new(option: &'static str, reason: &'static str) -> Self {
        Self { option, reason }
    }

    /// The option, as its setter is called.
    #[must_use]
    pub const fn option(&self) -> &'static str {
        self.option
    }

    /// What is wrong with its value.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid configuration: {} {}", self.option, self.reason)
    }
}

impl core::error::Error for InvalidConfig {}

/// A share of a whole, above zero and at most one, in millionths: integers, so that sums never drift.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ratio(u32);

impl Ratio {
    const WHOLE: u32 = 1_000_000;

    /// All of it.
    pub const ONE: Self = Self(Self::WHOLE);

    /// A share given as a fraction: `0.5` is one half.
    ///
    /// # Errors
    /// If the fraction is not a number, not above zero, or above one; `option` is named in the error.
    pub fn try_new(option: &'static str, fraction: f64) -> Result<Self, InvalidConfig> {
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(InvalidConfig::new(
                option,
                "must be above 0.0 and at most 1.0",
            ));
        }
        // Rounded up to at least one millionth: zero would trip on nothing.
        let millionths = (fraction * f64::from(Self::WHOLE) + 0.5) as u32;
        Ok(Self(millionths.clamp(1, Self::WHOLE)))
    }

    /// A share that is known to be one: for defaults.
    pub(crate) const fn percent(percent: u32) -> Self {
        debug_assert!(percent > 0 && percent <= 100);
        Self(percent * (Self::WHOLE / 100))
    }

    /// Whether `part` of `whole` is this share or more. Never of an empty whole.
    #[must_use]
    pub const fn reached(self, part: u64, whole: u64) -> bool {
        whole > 0 && part as u128 * Self::WHOLE as u128 >= self.0 as u128 * whole as u128
    }

    /// The smallest part of `whole` that reaches this share.
    #[must_use]
    pub const fn least_part(self, whole: u64) -> u64 {
        ((self.0 as u128 * whole as u128).div_ceil(Self::WHOLE as u128)) as u64
    }

    /// The largest part of `whole` that does not exceed this share.
    #[must_use]
    pub const fn most_part(self, whole: u64) -> u64 {
        (self.0 as u128 * whole as u128 / Self::WHOLE as u128) as u64
    }

    /// The share as a fraction.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fraction_outside_of_its_range_is_refused() {
        for wrong in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Ratio::try_new("x", wrong).is_err(), "{wrong}");
        }
        assert_eq!(Ratio::try_new("x", 1.0), Ok(Ratio::ONE));
        assert!(Ratio::try_new("x", 1e-12).is_ok());
    }

    #[test]
    fn share_is_reached_at_its_boundary() {
        let half = Ratio::try_new("x", 0.5).expect("a half is a share");
        assert!(half.reached(1, 2));
        assert!(!half.reached(49, 100));
        assert!(!half.reached(0, 0));
        assert_eq!(half.least_part(3), 2);
        assert_eq!(half.most_part(3), 1);
        assert_eq!(Ratio::ONE.most_part(u64::MAX), u64::MAX);
    }
}
