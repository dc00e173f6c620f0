//! A bounded count that many threads take from and give back to.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many of something are taken.
///
/// It orders nothing besides the count: what a seat stands for is guarded elsewhere.
#[derive(Debug)]
pub struct Seats {
    taken: AtomicU64,
}

// ===== impl Seats =====

impl Seats {
    /// None taken.
    #[cfg(not(seaworthy_loom))]
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "loom's atomics have no constant one"
    )]
    pub const fn new() -> Self {
        Self {
            taken: AtomicU64::new(0),
        }
    }

    /// None taken.
    #[cfg(seaworthy_loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            taken: AtomicU64::new(0),
        }
    }

    /// Takes one, if fewer than `most` are taken.
    #[must_use]
    pub fn try_take(&self, most: u64) -> bool {
        let mut taken = self.taken.load(Relaxed);
        while taken < most {
            match self
                .taken
                .compare_exchange_weak(taken, taken + 1, Relaxed, Relaxed)
            {
                Ok(_) => return true,
                Err(other) => taken = other,
            }
        }
        false
    }

    /// Takes one, whatever is taken already.
    pub fn take(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// Gives one back that was taken.
    pub fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a seat is given back once");
    }

    /// How many are taken at this moment.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }
}

#[cfg(test)]
#[cfg(not(seaworthy_loom))]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_may_be() {
        let seats = Seats::new();
        assert!(!seats.try_take(0));
        assert!(seats.try_take(2));
        assert!(seats.try_take(2));
        assert!(!seats.try_take(2));
        assert!(!seats.try_take(1), "a bound that fell refuses as well");
        seats.give_back();
        assert!(!seats.try_take(1));
        assert!(seats.try_take(2));
        seats.take();
        assert_eq!(seats.taken(), 3);
    }
}
