//! What an operator switches for all keys at once, also for those that are yet to come.

use std::future::Future;
use std::hash::Hash;
use std::sync::PoisonError;

use super::KeyedHandle;
use crate::control::Control;
use crate::gate::Gate;
use crate::share::Share;

/// What is switched here holds for each key, known or new, in place of what was switched for one of them before.
/// One key alone is switched by the [`control`](Share::control) of its gate.
impl<G: Gate, K: Hash + Eq + Clone> KeyedHandle<G, K> {
    /// Decides, counts and reports as always, but refuses nothing; or refuses again.
    pub fn observe_only(&self, on: bool) {
        self.switch(|control| control.observe_only(on));
    }

    /// Enforces that share of the refusals, as [`Control::enforce_percent`] does.
    pub fn enforce_percent(&self, percent: u8) {
        self.switch(|control| control.enforce_percent(percent));
    }

    /// Refuses new calls from now on, whatever their key, and is ready when those that run have ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`resume`](Self::resume).
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<G, K>
    where
        K: 'static,
    {
        self.map.control.start_drain();
        let mut drains = Vec::new();
        self.for_each(|share| drains.push(share.drain()));
        async move {
            for drain in drains {
                drain.await;
            }
        }
    }

    /// Takes calls again after a drain.
    pub fn resume(&self) {
        self.switch(Control::resume);
    }

    /// For the keys to come first: one that comes meanwhile either sees that, or is found among the known.
    fn switch(&self, switch: impl Fn(&Control)) {
        switch(&self.map.control);
        self.for_each(|share| switch(share.control()));
    }

    fn for_each(&self, mut act: impl FnMut(&Share<G>)) {
        act(&self.map.overflow);
        for shard in &self.map.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.gates.values().for_each(|kept| act(&kept.share));
        }
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::num::NonZeroUsize;
    use std::task::Poll;

    use tokio_test::task;
    use tower_layer::Layer;
    use tower_service::Service;

    use crate::keyed::KeyedLayer;
    use crate::testing::Inner;
    use crate::testing::fixtures::Limit;
    use crate::{Plain, Rejection, RejectionKind};

    type ByKey = KeyedLayer<Limit, Plain, u32, fn(&u32) -> u32>;

    /// With room for two keys, and for so many calls of each.
    fn layer(limit: usize) -> ByKey {
        let max_keys = NonZeroUsize::new(2).unwrap();
        let key = |request: &u32| *request;
        KeyedLayer::new(Plain::new(), max_keys, key, move |_| Limit::new(limit))
    }

    #[test]
    fn switch_of_all_keys_holds_for_known_and_new_ones() {
        let layer = layer(0);
        let handle = layer.handle();
        let (inner, _remote) = Inner::<u32, u32>::new();
        let mut service = layer.layer(inner);
        let mut refuses = |key| {
            let mut call = task::spawn(service.call(key));
            call.poll().is_ready()
        };
        assert!(refuses(1));
        handle.observe_only(true);
        // The third finds no room: its gate is that of the overflow.
        let _known = [1, 2].map(|key| handle.get_or_make(&key).hold_shared());
        for key in 1..=3 {
            assert!(!refuses(key), "{key}");
        }
        handle.enforce_percent(100);
        for key in 1..=3 {
            assert!(refuses(key), "{key}");
        }
    }

    #[test]
    fn drain_of_all_keys_refuses_each_and_waits_for_each() {
        let layer = layer(8);
        let handle = layer.handle();
        let (inner, remote) = Inner::<u32, u32>::new();
        let mut service = layer.layer(inner);
        let mut call = |key| {
            let mut call = task::spawn(service.call(key));
            let polled = call.poll();
            (call, polled)
        };
        let running = [1, 2, 3].map(&mut call);
        assert_eq!(remote.running(), 3);
        let mut drain = task::spawn(handle.drain());
        assert!(drain.poll().is_pending());
        for key in 1..=4 {
            let (_call, polled) = call(key);
            let Poll::Ready(Err(error)) = polled else {
                panic!("{key} is drained");
            };
            let kind = Rejection::find(&*error).unwrap().kind();
            assert_eq!(kind, RejectionKind::Draining);
        }
        for (call, _) in running {
            assert!(drain.poll().is_pending());
            drop(call);
        }
        assert!(drain.poll().is_ready());
        assert!(call(5).1.is_ready(), "a new key is drained, too");
        handle.resume();
        for key in 1..=6 {
            assert!(call(key).1.is_pending(), "{key}");
        }
    }

    /// Or the keys that were there when all were switched would keep their room for ever.
    #[test]
    fn keys_that_are_switched_as_all_others_are_forgotten() {
        let layer = layer(1);
        let handle = layer.handle();
        let old = [1, 2].map(|key| handle.get_or_make(&key));
        handle.enforce_percent(30);
        old[0].control().observe_only(true);
        let overflow = handle.overflow();
        for key in 3..20 {
            assert!(!handle.get_or_make(&key).same(&overflow));
        }
        assert!(handle.get_or_make(&1).same(&old[0]), "switched alone");
        assert!(!handle.get_or_make(&2).same(&old[1]));
    }
}
