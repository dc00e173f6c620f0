//! Quotas that have been found to work: what one key may have instead of the others'.

use std::sync::Arc;

use seaworthy_core::InvalidConfig;
use seaworthy_core::gcra::{Quota, Windows};

/// One to four quotas that can work; cheap to clone.
///
/// ```
/// use seaworthy_rate_limit::{Limits, Quota};
///
/// let premium = Limits::try_new([Quota::per_second(100), Quota::per_day(1_000_000)])?;
/// assert!(Limits::try_new([Quota::per_second(0)]).is_err());
/// # Ok::<_, seaworthy_kit::InvalidConfig>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits(Arc<[Quota]>);

impl Limits {
    /// Those quotas.
    ///
    /// # Errors
    /// If there is none, more than four, or one that [cannot work](Quota::check).
    pub fn try_new(quotas: impl Into<Arc<[Quota]>>) -> Result<Self, InvalidConfig> {
        let quotas = quotas.into();
        Windows::try_new(&quotas)?;
        Ok(Self(quotas))
    }

    /// Each of them.
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        &self.0
    }
}
