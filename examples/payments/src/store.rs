//! The payments, in memory and bounded: the oldest settled one makes room for the newest.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::payment::{Payment, Status};

/// About 50 MB.
const CAPACITY: usize = 100_000;

/// Shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shared: Arc<Mutex<Payments>>,
}

#[derive(Debug)]
struct Payments {
    capacity: usize,
    by_id: HashMap<String, Payment>,
    /// Oldest first; each id once, and exactly the ids of `by_id`.
    ids: VecDeque<String>,
    /// How many of `by_id` have each status, in the order of [`Status::ALL`].
    counts: [usize; Status::ALL.len()],
}

// ===== impl Store =====

impl Store {
    pub(crate) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        let payments = Payments {
            capacity,
            by_id: HashMap::new(),
            ids: VecDeque::new(),
            counts: [0; Status::ALL.len()],
        };
        Self {
            shared: Arc::new(Mutex::new(payments)),
        }
    }

    /// Adds a payment, or begins it anew: one with a key has the same id in every attempt. One that
    /// has come to its end, or will, stays as it is.
    ///
    /// Answers what it was before.
    pub(crate) fn begin(&self, payment: Payment) -> Option<Payment> {
        let mut payments = self.lock();
        let id = payment.payment_id.clone();
        if let Some(known) = payments.by_id.get_mut(&id) {
            let before = known.clone();
            if before.status.is_answer() {
                known.seen_in(payment.attempt);
                return Some(before);
            }
            *known = payment;
            let now = known.status;
            payments.counts[before.status as usize] -= 1;
            payments.counts[now as usize] += 1;
            return Some(before);
        }
        payments.make_room();
        payments.counts[payment.status as usize] += 1;
        payments.ids.push_back(id.clone());
        payments.by_id.insert(id, payment);
        None
    }

    /// Changes a payment and answers what it is now; `None` if it is not there (any more).
    pub(crate) fn update(
        &self,
        payment_id: &str,
        change: impl FnOnce(&mut Payment),
    ) -> Option<Payment> {
        let mut payments = self.lock();
        let payment = payments.by_id.get_mut(payment_id)?;
        let before = payment.status;
        change(payment);
        let now = payment.clone();
        payments.counts[before as usize] -= 1;
        payments.counts[now.status as usize] += 1;
        Some(now)
    }

    pub(crate) fn get(&self, payment_id: &str) -> Option<Payment> {
        self.lock().by_id.get(payment_id).cloned()
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (Status, usize)> + use<> {
        let counts = self.lock().counts;
        Status::ALL.into_iter().zip(counts)
    }

    fn lock(&self) -> MutexGuard<'_, Payments> {
        // Every change under the lock is small and does not panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl Payments =====

impl Payments {
    /// Forgets the oldest payments whose end is known.
    ///
    /// Those under way are at most as many as the bulkhead runs and the queue holds, far below the
    /// capacity; if ever all were, the store would grow rather than lose one.
    fn make_room(&mut self) {
        let mut looked_at = 0;
        while self.by_id.len() >= self.capacity && looked_at < self.ids.len() {
            let Some(oldest) = self.ids.pop_front() else {
                return;
            };
            match self.by_id[&oldest].status {
                Status::Processing | Status::Queued => {
                    self.ids.push_back(oldest);
                    looked_at += 1;
                }
                settled => {
                    self.counts[settled as usize] -= 1;
                    self.by_id.remove(&oldest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keys, payment::NewPayment};

    fn payment(status: Status) -> Payment {
        let new = NewPayment {
            amount: 1.0,
            currency: "USD".to_owned(),
            card_token: "tok".to_owned(),
            merchant_id: None,
            idempotency_key: None,
        };
        Payment {
            status,
            ..Payment::new(&new, keys::payment_id(&new))
        }
    }

    fn count(store: &Store, status: Status) -> usize {
        store
            .counts()
            .find(|(other, _)| *other == status)
            .unwrap()
            .1
    }

    #[test]
    fn oldest_settled_payment_makes_room() {
        let store = Store::with_capacity(3);
        let payments = [
            Status::Queued,
            Status::Approved,
            Status::Failed,
            Status::Processing,
        ];
        let payments = payments.map(payment);
        for payment in &payments {
            store.begin(payment.clone());
        }
        let kept = payments.map(|payment| store.get(&payment.payment_id).is_some());
        assert_eq!(kept, [true, false, true, true]);
        assert_eq!(count(&store, Status::Approved), 0);
        assert_eq!(count(&store, Status::Queued), 1);
    }

    #[test]
    fn payment_under_way_is_never_lost() {
        let store = Store::with_capacity(2);
        let payments: Vec<_> = (0..4).map(|_| payment(Status::Queued)).collect();
        for payment in &payments {
            store.begin(payment.clone());
        }
        assert!(
            payments
                .iter()
                .all(|payment| store.get(&payment.payment_id).is_some())
        );
    }

    #[test]
    fn payment_that_begins_anew_is_there_once() {
        let store = Store::with_capacity(2);
        let first = payment(Status::Unknown);
        store.begin(first.clone());
        let again = Payment {
            status: Status::Processing,
            ..first.clone()
        };
        store.begin(again.clone());
        assert_eq!(store.get(&first.payment_id), Some(again));
        assert_eq!(count(&store, Status::Unknown), 0);
        assert_eq!(count(&store, Status::Processing), 1);
        // It takes one place, not two.
        let other = payment(Status::Approved);
        store.begin(other.clone());
        assert!(store.get(&other.payment_id).is_some());
        assert_eq!(store.lock().ids.len(), 2);
    }

    #[test]
    fn payment_that_has_an_answer_does_not_begin_anew() {
        for status in [Status::Approved, Status::Declined, Status::Queued] {
            let store = Store::new();
            let first = payment(status);
            assert_eq!(store.begin(first.clone()), None);
            let again = Payment {
                status: Status::Processing,
                ..first.clone()
            };
            assert_eq!(store.begin(again), Some(first.clone()));
            assert_eq!(store.get(&first.payment_id), Some(first));
            assert_eq!(
                (count(&store, status), count(&store, Status::Processing)),
                (1, 0)
            );
        }
    }

    #[test]
    fn counts_follow_a_change() {
        let store = Store::new();
        let queued = payment(Status::Queued);
        store.begin(queued.clone());
        let now = store.update(&queued.payment_id, |payment| {
            payment.status = Status::Approved
        });
        assert_eq!(now.unwrap().status, Status::Approved);
        assert_eq!(
            (
                count(&store, Status::Queued),
                count(&store, Status::Approved)
            ),
            (0, 1)
        );
        assert_eq!(store.update("pay_none", |_| ()), None);
    }
}
