//! How many circuits of one layer may refuse calls at a time.

use alloc::sync::Arc;

use crate::Ratio;
use crate::seats::Seats;
use crate::sync::atomic::{AtomicU32, Ordering, fence};

/// The bound that the circuits of one layer share: at most a part of them, and one at least, may refuse at a time.
#[derive(Debug)]
pub struct OpenCap {
    share: Ratio,
    keys: Seats,
    refusing: Seats,
}

/// The place of one circuit under the bound.
#[derive(Debug)]
pub struct Place {
    cap: Arc<OpenCap>,
    is_key: bool,
    /// One where it is taken.
    is_taken: AtomicU32,
}

// ===== impl OpenCap =====

impl OpenCap {
    /// At most that part of the keys' circuits refuses at a time.
    #[must_use]
    pub fn new(share: Ratio) -> Self {
        Self {
            share,
            keys: Seats::new(),
            refusing: Seats::new(),
        }
    }

    /// How many circuits refuse under this bound at this moment.
    #[must_use]
    pub fn refusing(&self) -> u64 {
        self.refusing.taken()
    }

    fn try_take(&self) -> bool {
        // One at least: a bound that rounds to nothing would switch the layer off.
        let most = self.share.most_part(self.keys.taken()).max(1);
        self.refusing.try_take(most)
    }
}

// ===== impl Place =====

impl Place {
    /// A place for one more circuit; the one that keys share which found no room is none of the keys.
    #[must_use]
    pub fn new(cap: Arc<OpenCap>, is_key: bool) -> Self {
        if is_key {
            cap.keys.take();
        }
        Self {
            cap,
            is_key,
            is_taken: AtomicU32::new(0),
        }
    }

    /// Whether a circuit that refuses may enforce it: it has its place, or there is one for it.
    ///
    /// `refuses` tells whether the circuit still does.
    #[must_use]
    pub fn take(&self, refuses: impl FnOnce() -> bool) -> bool {
        if self.is_taken.load(Ordering::Relaxed) != 0 {
            return true;
        }
        if !self.cap.try_take() {
            return false;
        }
        if self.is_taken.swap(1, Ordering::Relaxed) != 0 {
            // Another call of this circuit was faster.
            self.cap.refusing.give_back();
        }
        // NOTE: against the fence in `give_back`. The circuit may have closed, and given back what it did not have yet; of the two threads one at least sees what the other did.
        fence(Ordering::SeqCst);
        if !refuses() {
            self.give_back();
        }
        true
    }

    /// The circuit refuses no more.
    pub fn give_back(&self) {
        // NOTE: against the fence in `take`.
        fence(Ordering::SeqCst);
        if self.is_taken.swap(0, Ordering::Relaxed) != 0 {
            self.cap.refusing.give_back();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
        if self.is_key {
            self.cap.keys.give_back();
        }
    }
}

#[cfg(test)]
#[cfg(not(seaworthy_loom))]
mod tests {
    extern crate std;

    use core::sync::atomic::AtomicBool;
    use std::vec::Vec;

    use super::*;

    fn cap(share: f64) -> Arc<OpenCap> {
        Arc::new(OpenCap::new(Ratio::try_new("share", share).unwrap()))
    }

    #[test]
    fn share_is_of_the_keys_there_are_and_never_none() {
        let cap = cap(0.5);
        let overflow = Place::new(cap.clone(), false);
        let mut places = Vec::new();
        let mut taken = 0;
        for expected in [1, 1, 1, 2, 2, 3] {
            places.push(Place::new(cap.clone(), true));
            taken += usize::from(places.last().unwrap().take(|| true));
            assert_eq!(taken, expected, "of {}", places.len());
        }
        assert!(!overflow.take(|| true));
        drop(places);
        assert!(overflow.take(|| true), "one always may");
        assert_eq!(cap.keys.taken(), 0);
    }

    #[test]
    fn place_is_taken_once_and_not_for_a_circuit_that_has_closed() {
        let cap = cap(1.0);
        let place = Place::new(cap.clone(), true);
        for _ in 0..3 {
            assert!(place.take(|| true));
        }
        assert_eq!(cap.refusing(), 1);
        place.give_back();
        place.give_back();
        assert_eq!(cap.refusing(), 0);
        assert!(place.take(|| false), "this one call is refused");
        assert_eq!(cap.refusing(), 0);
    }

    #[test]
    fn no_place_is_lost_between_threads_that_refuse_and_close() {
        let cap = cap(1.0);
        let places: Vec<_> = (0..2).map(|_| Place::new(cap.clone(), true)).collect();
        // Whether each of the two circuits refuses at present.
        let open: Vec<_> = (0..2).map(|_| AtomicBool::new(false)).collect();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for round in 0..4000 {
                        let (place, open) = (&places[round % 2], &open[round % 2]);
                        open.store(true, Ordering::Release);
                        let _ = place.take(|| open.load(Ordering::Acquire));
                        open.store(false, Ordering::Release);
                        place.give_back();
                    }
                });
            }
        });
        assert_eq!(cap.refusing(), 0);
    }
}
