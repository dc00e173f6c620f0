//! The answers that are kept, by key: bounded in number and age.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seaworthy_kit::Moment;

pub(super) struct Store<K, V> {
    max_age: Duration,
    max_entries: usize,
    kept: Mutex<Kept<K, V>>,
}

struct Kept<K, V> {
    answers: HashMap<Arc<K>, Entry<V>>,
    /// The keys in the order in which answers came; those whose number is no longer their answer's are void.
    order: VecDeque<(Arc<K>, u64)>,
    last: u64,
}

struct Entry<V> {
    value: V,
    since: Moment,
    number: u64,
}

impl<K: Hash + Eq, V> Store<K, V> {
    pub(super) fn new(max_age: Duration, max_entries: usize) -> Self {
        Self {
            max_age,
            max_entries,
            kept: Mutex::new(Kept {
                answers: HashMap::new(),
                order: VecDeque::new(),
                last: 0,
            }),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().answers.len()
    }

    /// Whether the answer that is kept is too young to be replaced: younger than a tenth of what it may reach.
    pub(super) fn is_young(&self, key: &K, now: Moment) -> bool {
        let kept = self.lock();
        let entry = kept.answers.get(key);
        // By a clock that was set back it is not young.
        entry.is_some_and(|it| it.since <= now && now.since(it.since) < self.max_age / YOUNG)
    }

    pub(super) fn put(&self, key: K, value: V, now: Moment) {
        let mut kept = self.lock();
        kept.last += 1;
        let (key, number) = (Arc::new(key), kept.last);
        let entry = Entry {
            value,
            since: now,
            number,
        };
        kept.answers.insert(key.clone(), entry);
        kept.order.push_back((key, number));
        while kept.answers.len() > self.max_entries {
            let Some((key, number)) = kept.order.pop_front() else {
                break;
            };
            if kept.is_current(&key, number) {
                kept.answers.remove(&key);
            }
        }
        if kept.order.len() > self.max_entries.saturating_mul(2) {
            let mut order = std::mem::take(&mut kept.order);
            order.retain(|(key, number)| kept.is_current(key, *number));
            kept.order = order;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V: Clone> Store<K, V> {
    /// The answer and its age; one that is too old is forgotten.
    pub(super) fn get(&self, key: &K, now: Moment) -> Option<(V, Duration)> {
        let mut kept = self.lock();
        let entry = kept.answers.get(key)?;
        let age = now.since(entry.since);
        if age > self.max_age {
            kept.answers.remove(key);
            return None;
        }
        Some((entry.value.clone(), age))
    }
}

impl<K: Hash + Eq, V> Kept<K, V> {
    fn is_current(&self, key: &K, number: u64) -> bool {
        let entry = self.answers.get(key);
        entry.is_some_and(|entry| entry.number == number)
    }
}

/// A value is young for this part of its time.
const YOUNG: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn oldest_answer_goes_first() {
        let store = Store::new(1000 * SECOND, 3);
        for round in 0..1000 {
            store.put(0, round, at(round));
            store.put(1 + round % 5, round, at(round));
            assert!(store.len() <= 3);
            assert_eq!(store.get(&0, at(round)).map(|kept| kept.0), Some(round));
        }
        store.put(7, 1, at(2000));
        store.put(8, 1, at(2001));
        store.put(9, 1, at(2002));
        store.put(7, 2, at(2003));
        store.put(6, 1, at(2004));
        assert_eq!(store.get(&8, at(2004)), None, "it was the oldest");
        assert_eq!(store.get(&7, at(2004)), Some((2, SECOND)));
    }

    #[test]
    fn order_stays_bounded_where_nothing_has_to_go() {
        let store = Store::new(1000 * SECOND, 3);
        for round in 0..1000 {
            store.put("only", round, at(round));
            assert!(store.lock().order.len() <= 6);
        }
        assert_eq!(store.get(&"only", at(1000)), Some((999, SECOND)));
    }

    #[test]
    fn answer_that_is_too_old_is_forgotten() {
        let store = Store::new(10 * SECOND, 3);
        store.put("a", 1, at(100));
        assert!(store.is_young(&"a", at(100)));
        assert!(!store.is_young(&"a", at(101)));
        assert!(!store.is_young(&"a", at(99)), "a clock that was set back");
        assert_eq!(store.get(&"a", at(110)), Some((1, 10 * SECOND)));
        assert_eq!(store.get(&"a", at(111)), None);
        assert_eq!(store.len(), 0);
    }
}
