//! How many circuits of a keyed layer may refuse calls at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use seaworthy_core::Ratio;

/// The bound that the circuits of one keyed layer share.
#[derive(Debug)]
pub(crate) struct OpenCap {
    share: Ratio,
    keys: AtomicUsize,
    refusing: AtomicUsize,
}

/// The place of one circuit under the bound.
#[derive(Debug)]
pub(crate) struct Place {
    cap: Arc<OpenCap>,
    is_key: bool,
    is_taken: AtomicBool,
}

// ===== impl OpenCap =====

impl OpenCap {
    pub(crate) const fn new(share: Ratio) -> Self {
        Self {
            share,
            keys: AtomicUsize::new(0),
            refusing: AtomicUsize::new(0),
        }
    }

    fn try_take(&self) -> bool {
        let keys = self.keys.load(Ordering::Relaxed) as u64;
        // One at least: a bound that rounds to nothing would switch the layer off.
        let most = self.share.most_part(keys).max(1);
        let take = |refusing: usize| ((refusing as u64) < most).then(|| refusing + 1);
        self.refusing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

// ===== impl Place =====

impl Place {
    /// A place for one more circuit; the one that keys share which found no room is none of the keys.
    pub(crate) fn new(cap: Arc<OpenCap>, is_key: bool) -> Self {
        cap.keys.fetch_add(usize::from(is_key), Ordering::Relaxed);
        Self {
            cap,
            is_key,
            is_taken: AtomicBool::new(false),
        }
    }

    /// Whether a circuit that refuses may enforce it: it has its place, or there is one for it.
    ///
    /// `refuses` tells whether the circuit still does.
    pub(crate) fn take(&self, refuses: impl FnOnce() -> bool) -> bool {
        if self.is_taken.load(Ordering::Relaxed) {
            return true;
        }
        if !self.cap.try_take() {
            return false;
        }
        if self.is_taken.swap(true, Ordering::Relaxed) {
            // Another call of this circuit was faster.
            self.cap.refusing.fetch_sub(1, Ordering::Relaxed);
        }
        // NOTE: against the fence in `give_back`. The circuit may have closed, and given back what it did not have yet; of the two threads one at least sees what the other did.
        fence(Ordering::SeqCst);
        if !refuses() {
            self.give_back();
        }
        true
    }

    /// The circuit refuses no more.
    pub(crate) fn give_back(&self) {
        // NOTE: against the fence in `take`.
        fence(Ordering::SeqCst);
        if self.is_taken.swap(false, Ordering::Relaxed) {
            self.cap.refusing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
        self.cap
            .keys
            .fetch_sub(usize::from(self.is_key), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(cap.keys.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn place_is_taken_once_and_not_for_a_circuit_that_has_closed() {
        let cap = cap(1.0);
        let place = Place::new(cap.clone(), true);
        for _ in 0..3 {
            assert!(place.take(|| true));
        }
        assert_eq!(cap.refusing.load(Ordering::Relaxed), 1);
        place.give_back();
        place.give_back();
        assert_eq!(cap.refusing.load(Ordering::Relaxed), 0);
        assert!(place.take(|| false), "this one call is refused");
        assert_eq!(cap.refusing.load(Ordering::Relaxed), 0);
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
                        place.take(|| open.load(Ordering::Acquire));
                        open.store(false, Ordering::Release);
                        place.give_back();
                    }
                });
            }
        });
        assert_eq!(cap.refusing.load(Ordering::Relaxed), 0);
    }
}
