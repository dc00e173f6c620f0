//! Gates that report, each under the label of its key where it has one.

use std::hash::Hash;
use std::num::NonZeroUsize;

use super::KeyedLayer;
use crate::gate::Gate;
use crate::line::Gauges;
use crate::{InvalidConfig, Telemetry};

impl<G: Gate, T, K: Hash + Eq + Clone + 'static, F> KeyedLayer<G, T, K, F> {
    /// As [`new`](Self::new), with telemetry for each gate: of its own where `label` has a label for the key, else that of all keys without one.
    ///
    /// One gauge cannot show the state of many gates: those without a label are told to have none.
    ///
    /// # Errors
    /// That of `make` for the overflow gate, which is made at once.
    ///
    /// # Panics
    /// When a key comes for which `make` fails although it did not for the overflow gate: what can be wrong must not depend on the key.
    pub fn labelled(
        traffic: T,
        max_keys: NonZeroUsize,
        key: F,
        telemetry: Telemetry,
        label: impl Fn(&K) -> Option<String> + Send + Sync + 'static,
        make: impl Fn(Option<&K>, Telemetry, Gauges) -> Result<G, InvalidConfig> + Send + Sync + 'static,
    ) -> Result<Self, InvalidConfig> {
        let make = move |key: Option<&K>| {
            let label = key.and_then(&label);
            let gauges = match label {
                Some(_) => Gauges::Own,
                None => Gauges::None,
            };
            make(key, telemetry.for_key(label.as_deref()), gauges)
        };
        let overflow = make(None)?;
        Ok(Self::over(traffic, max_keys, key, overflow, move |key| {
            make(key).expect("the configuration was checked when the layer was built")
        }))
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::fixtures::Limit;
    use crate::{Event, Plain};

    type ByKey = KeyedLayer<Limit, Plain, u32, fn(&u32) -> u32>;

    const KEYS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

    fn labelled(
        make: impl Fn(Option<&u32>, Telemetry, Gauges) -> Result<Limit, InvalidConfig>
        + Send
        + Sync
        + 'static,
    ) -> Result<ByKey, InvalidConfig> {
        let label = |key: &u32| key.is_multiple_of(2).then(|| "even".to_owned());
        let telemetry = Telemetry::new("limit", "pool");
        let key: fn(&u32) -> u32 = |request| *request;
        ByKey::labelled(Plain::new(), KEYS, key, telemetry, label, make)
    }

    #[test]
    fn gate_that_cannot_be_made_is_an_error_of_the_layer() {
        let error = labelled(|_, _, _| Err(InvalidConfig::new("limit", "must be above zero")));
        assert_eq!(error.unwrap_err().option(), "limit");
    }

    #[test]
    fn only_keys_with_a_label_have_gauges() {
        let made = Arc::new(Mutex::new(Vec::new()));
        let seen = made.clone();
        let layer = labelled(move |key, telemetry, gauges| {
            let (seen, key) = (seen.clone(), key.copied());
            let heard = telemetry.subscribe(move |report| {
                let label = report.key.map(str::to_owned);
                seen.lock().unwrap().push((key, label, gauges));
            });
            telemetry.report(&Event::HedgeWon { attempt: 2 });
            drop(heard);
            Ok(Limit::new(1))
        });
        let handle = layer.unwrap().handle();
        let _ = (handle.get_or_make(&1), handle.get_or_make(&2));
        let expected = [
            (None, None, Gauges::None),
            (Some(1), None, Gauges::None),
            (Some(2), Some("even".to_owned()), Gauges::Own),
        ];
        assert_eq!(*made.lock().unwrap(), expected);
    }
}
