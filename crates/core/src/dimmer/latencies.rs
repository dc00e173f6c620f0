//! What the calls of a period took, counted by many threads at once.

use core::array;
use core::fmt;
use core::time::Duration;

use crate::Moment;
use crate::moment::nanos;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicU32, AtomicU64};

/// How long the calls of the present period took: a histogram with eight steps for each doubling, so that a quantile is right within 12.5 %.
///
/// A call costs one addition, and nothing orders it: whoever ends the period takes what is there, and what comes later counts for the next one.
/// Memory: 816 bytes.
pub struct Latencies {
    counts: [AtomicU32; STEPS],
    /// When the period began, and when it may end.
    opened: AtomicU64,
    due: AtomicU64,
}

/// What was counted in a period.
pub(super) struct Taken {
    counts: [u32; STEPS],
}

// ===== impl Latencies =====

impl Latencies {
    /// None yet; the first one finds the period over, so that one begins.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: array::from_fn(|_| AtomicU32::new(0)),
            opened: AtomicU64::new(0),
            due: AtomicU64::new(0),
        }
    }

    /// A call took so long; says whether the period seems to be over.
    #[inline]
    pub fn record(&self, took: Duration, now: Moment) -> bool {
        if let Some(count) = self.counts.get(step(nanos(took))) {
            count.fetch_add(1, Relaxed);
        }
        self.is_over(now)
    }

    /// Whether the period seems to be over: its time is up, or the clock was set back to before it.
    #[must_use]
    #[inline]
    pub fn is_over(&self, now: Moment) -> bool {
        let now = now.as_nanos();
        now >= self.due.load(Relaxed) || now < self.opened.load(Relaxed)
    }

    pub(super) fn due_at(&self, opened: Moment, due: Moment) {
        self.opened.store(opened.as_nanos(), Relaxed);
        self.due.store(due.as_nanos(), Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        counts.map(u64::from).sum()
    }

    pub(super) fn take(&self) -> Taken {
        Taken {
            counts: array::from_fn(|at| self.counts[at].swap(0, Relaxed)),
        }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

// ===== impl Taken =====

impl Taken {
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// The latency that so large a share of the calls did not exceed, within the step that it fell into; zero of no calls.
    pub(super) fn quantile(&self, quantile: f64) -> Duration {
        let all = self.count();
        // The least rank that covers the share; the sliver is for shares that binary fractions miss.
        let exact = quantile * all as f64 - 1e-9;
        let rank = (exact as u64 + 1).clamp(1, all.max(1));
        let mut below = 0;
        for (at, count) in self.counts.iter().copied().map(u64::from).enumerate() {
            if below + count >= rank {
                let (from, to) = (lower(at), lower(at + 1));
                let part = (to - from) as f64 * (rank - below) as f64 / count as f64;
                return Duration::from_nanos(from + part as u64);
            }
            below += count;
        }
        Duration::ZERO
    }
}

/// Which step a latency falls into.
const fn step(nanos: u64) -> usize {
    if nanos < 1 << FIRST {
        return 0;
    }
    let octave = nanos.ilog2();
    let part = (nanos >> (octave - PART_BITS)) & (PARTS - 1);
    let at = ((octave - FIRST) as u64 * PARTS + part + 1) as usize;
    if at < STEPS { at } else { STEPS - 1 }
}

/// Where a step begins.
const fn lower(step: usize) -> u64 {
    if step == 0 {
        return 0;
    }
    let (octave, part) = ((step as u64 - 1) / PARTS, (step as u64 - 1) % PARTS);
    (PARTS + part) << (octave + (FIRST - PART_BITS) as u64)
}

/// Shorter than 2^13 ns, 8 µs, is one step.
const FIRST: u32 = 13;
const PART_BITS: u32 = 3;
const PARTS: u64 = 1 << PART_BITS;

/// Up to 2^38 ns, somewhat more than four minutes; longer is as long as that. Few where each is explored.
const STEPS: usize = if cfg!(seaworthy_loom) { 2 } else { 1 + 25 * 8 };

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_join_without_a_gap() {
        for at in 0..STEPS - 1 {
            assert!(lower(at) < lower(at + 1), "{at}");
            assert_eq!(step(lower(at)), at);
            assert_eq!(step(lower(at + 1) - 1), at);
        }
        assert_eq!(step(u64::MAX), STEPS - 1);
    }

    #[test]
    fn nothing_has_no_latency() {
        assert_eq!(Latencies::new().take().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn what_is_taken_is_gone() {
        let latencies = Latencies::new();
        let _ = latencies.record(Duration::from_millis(3), Moment::ORIGIN);
        assert_eq!(latencies.take().count(), 1);
        assert_eq!(latencies.count(), 0);
    }

    proptest! {
        #[test]
        fn quantile_is_that_of_a_sorted_list_within_a_step(
            mut took in prop::collection::vec(8_192_u64..200_000_000_000, 1..200),
            quantile in 0.01..=1.0,
        ) {
            let latencies = Latencies::new();
            for took in &took {
                let _ = latencies.record(Duration::from_nanos(*took), Moment::ORIGIN);
            }
            took.sort_unstable();
            let ranks: Vec<f64> = (1..=took.len()).map(|rank| rank as f64 / took.len() as f64).collect();
            let at = ranks.iter().position(|share| *share >= quantile - 1e-9).unwrap();
            let found = nanos(latencies.take().quantile(quantile)) as f64;
            let exact = took[at] as f64;
            prop_assert!(found >= exact / 1.126 && found <= exact * 1.126, "{found} for {exact}");
        }
    }
}
