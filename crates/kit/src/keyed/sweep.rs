//! Keys that nobody uses any more are forgotten before their room is needed: memory follows the traffic of today, not that of the worst day.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::{KeyedHandle, KeyedLayer, Map};
use crate::gate::Gate;

/// The task that forgets idle keys: one for each map that has keys.
pub(super) struct Sweeper<G, K> {
    period: Duration,
    is_running: AtomicBool,
    /// A pointer, so that only a layer that has a sweeper asks that its keys can go to a task.
    start: fn(&Handle, Weak<Map<G, K>>),
}

/// How far the sweeper is: shards from the last to the first.
struct Rounds {
    shard: usize,
    /// How many keys of the shard are still to be looked at.
    left: usize,
}

/// Says that there is no task any more, also where its runtime dropped it.
struct Running<G, K>(Weak<Map<G, K>>);

impl<G, T, K, F> KeyedLayer<G, T, K, F>
where
    G: Gate,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Forgets, in the background, each key that was not used for a whole period and may be forgotten.
    ///
    /// A task does so, in the runtime of the call that makes the first key, and ends when there is none; without a runtime, keys are forgotten only where others need their room.
    /// Said twice, the first period stays.
    #[must_use]
    pub fn forget_idle_every(self, period: Duration) -> Self {
        let _ = self.keyed.map.sweeper.set(Sweeper {
            period,
            is_running: AtomicBool::new(false),
            start: |runtime, map| drop(runtime.spawn(sweep(Running(map)))),
        });
        self
    }
}

impl<G: Gate, K: Hash + Eq + Clone> KeyedHandle<G, K> {
    /// Forgets each key that was not used since the last time, and may be forgotten; says how many.
    ///
    /// No lock is held for longer than it takes to look at a few.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn forget_idle(&self) -> usize {
        self.map.forget_idle()
    }
}

impl<G: Gate, K: Hash + Eq + Clone> Map<G, K> {
    /// Sees to it that there is a sweeper, where there is to be one.
    #[inline]
    pub(super) fn sweep(self: &Arc<Self>) {
        if let Some(sweeper) = self.sweeper.get()
            && !sweeper.is_running.load(Ordering::Relaxed)
        {
            self.start_sweeper(sweeper);
        }
    }

    #[cold]
    fn start_sweeper(self: &Arc<Self>, sweeper: &Sweeper<G, K>) {
        if let Ok(runtime) = Handle::try_current()
            && !sweeper.is_running.swap(true, Ordering::Relaxed)
        {
            (sweeper.start)(&runtime, Arc::downgrade(self));
        }
    }

    fn forget_idle(&self) -> usize {
        let mut rounds = self.rounds();
        std::iter::from_fn(|| self.forget_some(&mut rounds)).sum()
    }

    /// Every key once, and then the room of those that have gone.
    const fn rounds(&self) -> Rounds {
        Rounds {
            shard: self.shards.len(),
            left: 0,
        }
    }

    /// Forgets what is idle among the next few keys; `None` when all were looked at.
    ///
    /// Both the lock and the thread are others' in between: a call for one of these keys waits for no more than a few, and so does a task behind the one that sweeps.
    fn forget_some(&self, rounds: &mut Rounds) -> Option<usize> {
        if rounds.left == 0 {
            rounds.shard = rounds.shard.checked_sub(1)?;
            rounds.left = self.lock(rounds.shard).order.len();
        }
        let mut shard = self.lock(rounds.shard);
        let looks = rounds.left.min(LOOKS_PER_LOCK);
        let forgotten = (0..looks).filter(|_| shard.forget_first(&self.control));
        let forgotten = forgotten.inspect(|_| self.seats.give_back()).count();
        rounds.left -= looks;
        if rounds.left == 0 && shard.gates.len() < shard.gates.capacity() / 4 {
            let room = 2 * shard.gates.len();
            shard.gates.shrink_to(room);
            shard.order.shrink_to(room);
        }
        Some(forgotten)
    }
}

impl<G: Gate, K: Hash + Eq + Clone> super::Shard<G, K> {
    /// Forgets the first key in the order, unless it was used or may not be forgotten: then it is the last.
    fn forget_first(&mut self, control: &crate::Control) -> bool {
        // As in `forget_one`: in its next place before it is looked at.
        if self.order.is_empty() {
            return false;
        }
        self.order.rotate_left(1);
        let Some(key) = self.order.back() else {
            return false;
        };
        let gates: &mut HashMap<_, _> = &mut self.gates;
        let Some(kept) = gates.get_mut(key) else {
            self.order.pop_back();
            return false;
        };
        let was_used = std::mem::take(&mut kept.used);
        if was_used || !kept.is_forgettable(control) {
            return false;
        }
        self.gates.remove(key);
        self.order.pop_back();
        true
    }
}

async fn sweep<G: Gate, K: Hash + Eq + Clone>(running: Running<G, K>) {
    loop {
        let Some(period) = running.sweeper(|sweeper| sweeper.period) else {
            return;
        };
        tokio::time::sleep(period).await;
        let Some(map) = running.0.upgrade() else {
            return;
        };
        let mut rounds = map.rounds();
        while map.forget_some(&mut rounds).is_some() {
            tokio::task::yield_now().await;
        }
        // Nothing to do until there is a key again, which starts another.
        if map.seats.taken() == 0 {
            return;
        }
    }
}

impl<G, K> Running<G, K> {
    fn sweeper<R>(&self, look: impl FnOnce(&Sweeper<G, K>) -> R) -> Option<R> {
        let map = self.0.upgrade()?;
        map.sweeper.get().map(look)
    }
}

impl<G, K> Drop for Running<G, K> {
    fn drop(&mut self) {
        self.sweeper(|sweeper| sweeper.is_running.store(false, Ordering::Relaxed));
    }
}

/// How many keys are looked at before others get the lock.
const LOOKS_PER_LOCK: usize = 64;

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::Plain;
    use crate::deferred::Source;
    use crate::keyed::Keyed;
    use crate::testing::fixtures::Limit;

    type ByKey = KeyedLayer<Limit, Plain, u32, fn(&u32) -> u32>;

    fn layer() -> ByKey {
        let max_keys = NonZeroUsize::new(10_000).unwrap();
        let key = |request: &u32| *request;
        KeyedLayer::new(Plain::new(), max_keys, key, |_| Limit::new(1))
    }

    fn use_keys(source: &mut Keyed<Limit, u32, fn(&u32) -> u32>, keys: std::ops::Range<u32>) {
        for key in keys {
            drop(source.hold(&key));
        }
    }

    #[test]
    fn keys_that_were_not_used_since_are_forgotten() {
        let layer = layer();
        let handle = layer.handle();
        let mut source = layer.into_source();
        use_keys(&mut source, 0..5000);
        // Seen once is new, seen twice is used.
        use_keys(&mut source, 0..10);
        let held = source.hold(&100);
        let busy = handle.get_or_make(&200);
        busy.limit.store(0, Ordering::SeqCst);
        handle.get_or_make(&300).control().observe_only(true);
        assert_eq!(handle.forget_idle(), 5000 - 13);
        assert_eq!(handle.len(), 13);
        assert_eq!(handle.forget_idle(), 10, "not used for a second time");
        drop(held);
        assert_eq!(handle.forget_idle(), 1);
        assert!(handle.get(&200).is_some() && handle.get(&300).is_some());
        use_keys(&mut source, 0..5000);
        assert_eq!(handle.len(), 5000, "their room was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_keys_are_forgotten_in_the_background() {
        let period = Duration::from_secs(60);
        let layer = layer().forget_idle_every(period);
        let handle = layer.handle();
        let mut source = layer.into_source();
        for _ in 0..2 {
            use_keys(&mut source, 0..1000);
            tokio::time::sleep(period / 2).await;
            assert_eq!(handle.len(), 1000);
            tokio::time::sleep(period).await;
            assert!(handle.is_empty(), "and again after the task had ended");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sweeper_of_many_keys_lets_other_tasks_run_in_between() {
        let period = Duration::from_secs(60);
        let layer = layer().forget_idle_every(period);
        let handle = layer.handle();
        let mut source = layer.into_source();
        use_keys(&mut source, 0..10_000);
        tokio::time::sleep(period).await;
        let mut turns = 0;
        while !handle.is_empty() {
            tokio::task::yield_now().await;
            turns += 1;
            assert!(turns < 10_000);
        }
        assert!(turns > 100, "{turns}");
    }

    #[test]
    fn sweeper_goes_with_its_runtime_and_comes_with_the_next() {
        let period = Duration::from_secs(60);
        let layer = layer().forget_idle_every(period);
        let handle = layer.handle();
        let mut source = layer.into_source();
        use_keys(&mut source, 0..10);
        assert_eq!(handle.len(), 10, "no runtime, no panic");
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                use_keys(&mut source, 0..10);
                tokio::time::sleep(period / 2).await;
            });
        }
        let map = Arc::downgrade(&handle.map);
        drop((handle, source));
        assert!(map.upgrade().is_none(), "the task keeps no map");
    }

    #[tokio::test(start_paused = true)]
    async fn sweeper_of_a_layer_that_is_gone_ends() {
        let layer = layer().forget_idle_every(Duration::from_secs(1));
        let mut source = layer.into_source();
        use_keys(&mut source, 0..10);
        let metrics = Handle::current().metrics();
        assert_eq!(metrics.num_alive_tasks(), 1);
        drop(source);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(metrics.num_alive_tasks(), 0);
    }
}
