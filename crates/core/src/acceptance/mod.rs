//! Adaptive throttling: a caller refuses some of its own calls, while the dependency accepts too few of them.
//!
//! A dependency that must refuse most of what it is asked spends itself on refusing.
//! Its callers know how it fares, each by what became of its own calls, and can hold back before they send.
//! The rule is Google's (Site Reliability Engineering, chapter 21, "Client-Side Throttling"): of the calls of the last two minutes, a new one is refused here with the probability
//!
//! ```text
//!   max(0, (requests − K × accepts) / (requests + 1))
//! ```
//!
//! *Requests* are all calls that were wanted, those that were refused here included; *accepts* are those that the dependency took on.
//! While it takes more than one in K, nothing is refused; below that, about K times as many calls are sent as it takes on.
//! Those that it refuses beyond its capacity are what tells that it can take more.
//!
//! # Why refused calls count
//! Let the callers want R calls per second of a dependency that takes on A, where R is far above A.
//! If x of them are sent, the formula with all requests in it settles where x = R × (1 − p) = K × A, whatever R is.
//! Without the calls refused here, p is 1 − K × A / x, and so x = √(K × A × R): the dependency is sent the more, the more is wanted.
//!
//! # Classes
//! Each [class](Criticality) has an account of its own, so that what a dependency refuses of the less important calls is not held against the more important ones.
//! There are two reasons to refuse a call of a class, and the stronger one counts:
//!
//! - the class itself fares badly: the formula with its own requests and accepts;
//! - all classes together fare badly, and what may be sent, K × the accepts of all, is needed by the classes above: the formula with what they leave.
//!
//! The first is all that is needed where the dependency itself refuses by class; the second makes the lower classes give way first also where it does not.
//! A class is never refused with a lower probability than one above it.
//!
//! # What it does not do
//! Below [`min_requests`](AcceptanceConfig::min_requests) in the window it refuses nothing: few answers say little.
//! It refuses at most the share [`max_rejection`](AcceptanceConfig::max_rejection), however bad things are: who sends nothing does not learn that the dependency is back.
//!
//! ```text
//!            first refusal by the dependency
//!   healthy ─────────────────────────────────▶ troubled: every call is weighed
//!      ▲                                           │
//!      └── no refusal left in the window ◀─────────┘
//! ```
//!
//! # Driving it
//! 1. [`try_admit`](Acceptance::try_admit) before each call; a call that it refuses is over.
//! 2. [`on_accepted`](Acceptance::on_accepted) or [`on_refused`](Acceptance::on_refused) when the dependency has answered.
//!    A call whose end says nothing, as one that was given up, is not reported at all.
//!
//! A call counts when its answer is known, not when it is sent: calls under way, and streams that last for hours, are neither requests without an answer nor a reason to refuse.
//!
//! ```
//! use seaworthy_core::acceptance::{Acceptance, AcceptanceConfig};
//! use seaworthy_core::{Criticality, Moment};
//!
//! let now = Moment::from_nanos(0);
//! let class = Criticality::default();
//! let acceptance = Acceptance::try_new(AcceptanceConfig::new())?;
//! for call in 0..400 {
//!     if call % 4 == 0 {
//!         acceptance.on_accepted(class, now);
//!     } else {
//!         acceptance.on_refused(class, now);
//!     }
//! }
//! // A quarter is accepted, so half of the calls is sent: (400 − 2 × 100) / 401.
//! assert!(!acceptance.try_admit(class, || now, || u64::MAX / 3));
//! assert!(acceptance.try_admit(class, || now, || u64::MAX / 3 * 2));
//! # Ok::<(), seaworthy_core::InvalidConfig>(())
//! ```

use core::fmt;

use crate::buckets::Buckets;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{Criticality, InvalidConfig, Moment};

mod config;
pub use config::AcceptanceConfig;
use config::Dials;

mod weigh;
use weigh::weigh;

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;

/// How much of what was asked of a dependency it accepted lately; see the [module](self).
///
/// All methods take `&self`, none takes a lock.
/// While the dependency has refused nothing in the window, [`try_admit`](Self::try_admit) is one load and asks neither for the time nor for a draw; an answer is one count.
/// Otherwise each call is weighed, by some hundred loads.
///
/// Memory: constant, 1152 bytes and what holds them.
/// Any gap is O(1) to count over and O(buckets) to weigh.
/// A clock that steps back counts into the newest bucket; one that was set back by the window or more begins an empty one.
pub struct Acceptance {
    dials: Dials,
    /// For each class: accepted, refused by the dependency, refused here.
    counts: Buckets<COUNTS>,
    /// Whether the dependency refused anything in the window ([`TROUBLED`]), and above that bit how often it was said.
    trouble: AtomicU64,
}

/// What became of the calls of one class in the window.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that were wanted and whose end is known, those that were refused here included.
    pub requests: u64,
    /// Those that the dependency accepted.
    pub accepts: u64,
    /// Those that were refused here.
    pub throttled: u64,
}

/// What is known of one class, and what follows from it.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Standing {
    /// The class.
    pub class: Criticality,
    /// What became of its calls.
    pub counts: Counts,
    /// With which probability its next call is refused.
    pub probability: f64,
}

/// What became of a call that was weighed.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
#[must_use = "a call that is not admitted must not be made"]
pub struct Weighed {
    /// Whether to send it; if not, it has been counted.
    pub admits: bool,
    /// With which probability a call of each class was refused, the least important first.
    pub probabilities: [f64; CLASSES],
}

/// How many classes there are.
const CLASSES: usize = Criticality::ALL.len();
/// How many counts a bucket has.
const COUNTS: usize = 3 * CLASSES;
/// How many buckets the window has: it forgets in steps of a twelfth; in few steps where each load makes as many interleavings more.
const BUCKETS: u32 = if cfg!(seaworthy_loom) { 2 } else { 12 };
/// Counts are of no generation: nothing ever discards them as a whole.
const GENERATION: u64 = 0;

const ACCEPTED: usize = 0;
const REFUSED: usize = 1;
const THROTTLED: usize = 2;

const TROUBLED: u64 = 1;

impl Acceptance {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn try_new(config: AcceptanceConfig) -> Result<Self, InvalidConfig> {
        let rules = config.rules()?;
        Ok(Self {
            counts: Buckets::new(rules.window, BUCKETS),
            dials: Dials::new(config),
            trouble: AtomicU64::new(0),
        })
    }

    /// Whether to send a call of that class; if not, it has been counted.
    ///
    /// `now` and `draw`, any number at random, are asked for only if the dependency refused calls in the window.
    #[must_use]
    #[inline]
    pub fn try_admit(
        &self,
        class: Criticality,
        now: impl FnOnce() -> Moment,
        draw: impl FnOnce() -> u64,
    ) -> bool {
        !self.is_troubled() || self.weigh(class, now(), draw).admits
    }

    /// Whether calls have to be weighed at all: the dependency refused some in the window, or did when somebody last looked.
    #[must_use]
    #[inline]
    pub fn is_troubled(&self) -> bool {
        self.trouble.load(Ordering::Acquire) & TROUBLED != 0
    }

    /// The dependency accepted a call, however it ended.
    #[inline]
    pub fn on_accepted(&self, class: Criticality, now: Moment) {
        self.count(class, ACCEPTED, now);
    }

    /// The dependency refused a call, or did not answer it in time.
    pub fn on_refused(&self, class: Criticality, now: Moment) {
        // The count before the sign: who takes the sign away has looked for counts after it saw the sign.
        self.count(class, REFUSED, now);
        let mut seen = self.trouble.load(Ordering::Relaxed);
        loop {
            // Never the same sign twice: else one that looked before this refusal could take away what stands for it.
            let next = (seen | TROUBLED).wrapping_add(2);
            match self.trouble.compare_exchange_weak(
                seen,
                next,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The options, as they are now.
    #[must_use]
    pub fn config(&self) -> AcceptanceConfig {
        self.dials.get()
    }

    /// Other options from now on, for all that is counted already. The window stays.
    ///
    /// # Errors
    /// If an option has a value that cannot work, or the window is another one; nothing has changed then.
    pub fn set_config(&self, config: AcceptanceConfig) -> Result<(), InvalidConfig> {
        self.dials.set(config)
    }

    /// What is known of each class, the least important first.
    #[must_use]
    pub fn standings(&self, now: Moment) -> [Standing; CLASSES] {
        let counts = self.sum(now);
        let probabilities = weigh(&counts, &self.dials.rules());
        Criticality::ALL.map(|class| Standing {
            class,
            counts: counts[class.index()],
            probability: probabilities[class.index()],
        })
    }

    /// Whether a new machine would do what this one does: the dependency refused nothing in the window.
    ///
    /// `now` is asked for only if it did, or had when somebody last looked.
    #[must_use]
    pub fn is_at_rest(&self, now: impl FnOnce() -> Moment) -> bool {
        let seen = self.trouble.load(Ordering::Acquire);
        if seen & TROUBLED == 0 {
            return true;
        }
        let is_over = is_over(&self.sum(now()));
        if is_over {
            self.calm_down(seen);
        }
        is_over
    }

    /// As [`try_admit`](Self::try_admit) where calls [have to be weighed](Self::is_troubled), and says by what.
    #[cold]
    pub fn weigh(&self, class: Criticality, now: Moment, draw: impl FnOnce() -> u64) -> Weighed {
        let seen = self.trouble.load(Ordering::Acquire);
        let counts = self.sum(now);
        if is_over(&counts) {
            self.calm_down(seen);
            return Weighed {
                admits: true,
                probabilities: [0.0; CLASSES],
            };
        }
        let probabilities = weigh(&counts, &self.dials.rules());
        let probability = probabilities[class.index()];
        let admits = probability == 0.0 || fraction(draw()) >= probability;
        if !admits {
            self.count(class, THROTTLED, now);
        }
        Weighed {
            admits,
            probabilities,
        }
    }

    /// Takes the sign of trouble away, unless it was given again meanwhile.
    fn calm_down(&self, seen: u64) {
        // Who loses was not the only one to look, or there is new trouble: both know better.
        let _ = self.trouble.compare_exchange(
            seen,
            seen & !TROUBLED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    #[inline]
    fn count(&self, class: Criticality, what: usize, now: Moment) {
        let place = self.counts.advance(now);
        let index = class.index() * 3 + what;
        self.counts.add(index, place, GENERATION, &|| true);
    }

    fn sum(&self, now: Moment) -> [Counts; CLASSES] {
        let mut sum = [Counts::default(); CLASSES];
        self.counts.each(GENERATION, now, |bucket| {
            for (sum, counts) in sum.iter_mut().zip(bucket.chunks_exact(3)) {
                sum.requests += counts.iter().sum::<u64>();
                sum.accepts += counts[ACCEPTED];
                sum.throttled += counts[THROTTLED];
            }
        });
        sum
    }
}

impl Counts {
    /// Those that the dependency refused.
    #[must_use]
    pub const fn refused(self) -> u64 {
        self.requests - self.accepts - self.throttled
    }
}

/// Whether the dependency refused nothing.
fn is_over(counts: &[Counts; CLASSES]) -> bool {
    counts.iter().all(|counts| counts.refused() == 0)
}

/// A draw as a fraction: at least zero, below one.
fn fraction(draw: u64) -> f64 {
    const WHOLE: f64 = (1_u64 << 53) as f64;
    (draw >> 11) as f64 / WHOLE
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptance")
            .field("config", &self.config())
            .field("troubled", &self.is_troubled())
            .finish_non_exhaustive()
    }
}
