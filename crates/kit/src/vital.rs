//! What a layer says about its own health, for those who watch over many of them.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use seaworthy_core::health::Status;

use crate::gate::Gate;
use crate::keyed::KeyedHandle;
use crate::line::Lined;
use crate::share::Share;

/// How a layer is at one moment.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Vitals {
    /// What kind of layer: `circuit_breaker`, `bulkhead`.
    pub layer: &'static str,
    /// The name that the user gave the layer.
    pub name: String,
    /// What it says.
    pub status: Status,
    /// The figure that it is about, as the calls that run.
    pub value: Option<f64>,
    /// Where that figure means trouble, as the slots there are.
    pub threshold: Option<f64>,
    /// The state in a word, as `half_open`.
    pub state: &'static str,
}

/// Something that can say how it is, at once and without asking anybody.
pub trait Vital {
    /// How it is now.
    fn vitals(&self) -> Vitals;
}

/// Anything with [`Vital`], shared: what a list of different ones holds.
#[derive(Clone)]
pub struct SharedVital(Arc<dyn Vital + Send + Sync>);

/// Several of them at once: a tuple, a list, or one alone.
pub trait Vitalities {
    /// Each of them.
    fn into_list(self) -> Vec<SharedVital>;
}

// ===== impl Vitals =====

impl Vitals {
    /// A layer of that kind and name, with nothing to complain about.
    #[must_use]
    pub fn new(layer: &'static str, name: &str) -> Self {
        Self {
            layer,
            name: name.to_owned(),
            status: Status::Pass,
            value: None,
            threshold: None,
            state: "ok",
        }
    }

    /// What it says, with the state in a word.
    #[must_use]
    pub const fn status(mut self, status: Status, state: &'static str) -> Self {
        self.status = status;
        self.state = state;
        self
    }

    /// The figure, and where it means trouble.
    #[must_use]
    pub const fn value(mut self, value: f64, threshold: Option<f64>) -> Self {
        self.value = Some(value);
        self.threshold = threshold;
        self
    }
}

/// Of what bounds how many calls run: it warns, `full`, where it would refuse the next one. The figure is the calls that run, and how many may.
impl<G: Lined> From<&G> for Vitals {
    fn from(gate: &G) -> Self {
        let seen = gate.line().occupancy();
        let telemetry = gate.telemetry();
        let vitals = Self::new(telemetry.layer(), telemetry.name());
        let vitals = vitals.value(seen.running as f64, Some(seen.limit as f64));
        if seen.available() > 0 {
            vitals
        } else if seen.waiting < gate.line().max_queue() {
            vitals.status(Status::Pass, "queueing")
        } else {
            vitals.status(Status::Warn, "full")
        }
    }
}

// ===== impl Vital for what kit has =====

/// A layer that drains takes no calls: that is told before all else.
impl<G: Gate + Vital> Vital for Share<G> {
    fn vitals(&self) -> Vitals {
        let vitals = (**self).vitals();
        if self.control().is_draining() && vitals.status == Status::Pass {
            vitals.status(Status::Warn, "draining")
        } else {
            vitals
        }
    }
}

/// The worst of all keys; the figure is how many of them are not well, of how many.
///
/// It looks at every key: with thousands of them, not too often.
impl<G: Gate + Vital, K: Hash + Eq + Clone> Vital for KeyedHandle<G, K> {
    fn vitals(&self) -> Vitals {
        let overflow = self.overflow().vitals();
        let keys = self.all();
        let total = keys.len();
        let mut unwell = 0_usize;
        let mut worst = overflow;
        for (_, share) in keys {
            let vitals = share.vitals();
            unwell += usize::from(vitals.status != Status::Pass);
            if vitals.status > worst.status {
                worst = vitals;
            }
        }
        worst.value(unwell as f64, Some(total as f64))
    }
}

impl<T: Vital + ?Sized> Vital for Arc<T> {
    fn vitals(&self) -> Vitals {
        (**self).vitals()
    }
}

impl Vital for SharedVital {
    fn vitals(&self) -> Vitals {
        self.0.vitals()
    }
}

impl SharedVital {
    /// Shares it.
    pub fn new(vital: impl Vital + Send + Sync + 'static) -> Self {
        Self(Arc::new(vital))
    }
}

impl fmt::Debug for SharedVital {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedVital")
    }
}

// ===== impl Vitalities =====

impl Vitalities for Vec<SharedVital> {
    fn into_list(self) -> Vec<SharedVital> {
        self
    }
}

impl<T: Vital + Send + Sync + 'static, const N: usize> Vitalities for [T; N] {
    fn into_list(self) -> Vec<SharedVital> {
        self.into_iter().map(SharedVital::new).collect()
    }
}

macro_rules! vitalities_of_tuples {
    ($($first:ident $($rest:ident)*)?) => {
        $(
            #[expect(non_snake_case, reason = "one name for the type and its value")]
            impl<$first, $($rest,)*> Vitalities for ($first, $($rest,)*)
            where
                $first: Vital + Send + Sync + 'static,
                $($rest: Vital + Send + Sync + 'static,)*
            {
                fn into_list(self) -> Vec<SharedVital> {
                    let ($first, $($rest,)*) = self;
                    vec![SharedVital::new($first), $(SharedVital::new($rest),)*]
                }
            }
            vitalities_of_tuples! { $($rest)* }
        )?
    };
}

vitalities_of_tuples! { A B C D E F G H I J K L }

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::Plain;
    use crate::keyed::KeyedLayer;
    use crate::testing::fixtures::Limit;

    impl Vital for Limit {
        fn vitals(&self) -> Vitals {
            let limit = self.limit.load(Ordering::SeqCst);
            let running = self.running.load(Ordering::SeqCst);
            let vitals = Vitals::new("limit", "pool").value(running as f64, Some(limit as f64));
            if running < limit {
                vitals
            } else {
                vitals.status(Status::Warn, "full")
            }
        }
    }

    #[test]
    fn layer_that_drains_says_so() {
        let share = Share::new(Limit::new(1));
        assert_eq!(share.vitals().state, "ok");
        drop(share.drain());
        let vitals = share.vitals();
        assert_eq!((vitals.status, vitals.state), (Status::Warn, "draining"));
    }

    #[test]
    fn keyed_layer_is_as_its_worst_key() {
        let max_keys = NonZeroUsize::new(8).expect("not zero");
        let layer = KeyedLayer::new(Plain::new(), max_keys, (), |_: Option<&u32>| Limit::new(1));
        let handle = layer.handle();
        assert_eq!(handle.vitals().value, Some(0.0));
        let held = handle.get_or_make(&1);
        let _other = handle.get_or_make(&2);
        let vitals = handle.vitals();
        assert_eq!((vitals.value, vitals.threshold), (Some(0.0), Some(2.0)));
        held.running.store(1, Ordering::SeqCst);
        let vitals = handle.vitals();
        assert_eq!((vitals.status, vitals.state), (Status::Warn, "full"));
        assert_eq!((vitals.value, vitals.threshold), (Some(1.0), Some(2.0)));
    }

    #[test]
    fn different_ones_make_one_list() {
        let (one, two) = (
            Share::new(Limit::new(1)),
            Arc::new(Share::new(Limit::new(0))),
        );
        let list = (one.clone(), two).into_list();
        let states: Vec<_> = list.iter().map(|vital| vital.vitals().state).collect();
        assert_eq!(states, ["ok", "full"]);
        assert_eq!([one].into_list().len(), 1);
        assert_eq!(list.into_list().len(), 2);
    }
}
