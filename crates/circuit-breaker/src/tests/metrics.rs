//! What a recorder shows of a circuit.

use std::num::NonZeroUsize;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::*;

/// The gauges of circuits' states, by their labels.
fn states(snapshotter: &Snapshotter) -> Vec<(String, f64)> {
    let metrics = snapshotter.snapshot().into_vec().into_iter();
    let gauges = metrics.filter_map(|(key, _, _, value)| match value {
        DebugValue::Gauge(value) if key.key().name() == "seaworthy_circuit_state" => {
            let labels = key.key().labels().map(|label| label.value().to_owned());
            Some((labels.collect::<Vec<_>>().join(" "), value.into_inner()))
        }
        _ => None,
    });
    gauges.collect()
}

fn with_recorder(test: impl AsyncFnOnce(&Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    ::metrics::with_local_recorder(&recorder, || runtime.block_on(test(&snapshotter)));
}

#[test]
fn gauge_has_the_state_that_the_circuit_is_in_and_no_earlier_one() {
    // rust-peers.md 2.4 #11: a gauge for each state that is set and never taken back alerts for ever.
    with_recorder(async |snapshotter| {
        let clock = ManualClock::new();
        let handle = fragile(&clock)
            .recovery_ramp(Duration::from_secs(10))
            .build()
            .unwrap()
            .handle();
        let shown = |state: f64| [("circuit_breaker stock".to_owned(), state)];
        handle.publish();
        assert_eq!(states(snapshotter), shown(0.0));
        fail(&handle).await;
        assert_eq!(states(snapshotter), shown(2.0));
        clock.advance(Duration::from_secs(30));
        let probe = handle.call(|| async {
            assert_eq!(states(snapshotter), shown(1.0));
            Ok::<_, BoxError>(())
        });
        probe.await.unwrap();
        assert_eq!(states(snapshotter), shown(6.0));
        handle.force_open();
        assert_eq!(states(snapshotter), shown(3.0));
        handle.force_closed();
        assert_eq!(states(snapshotter), shown(4.0));
        handle.disable();
        assert_eq!(states(snapshotter), shown(5.0));
        handle.reset();
        assert_eq!(states(snapshotter), shown(0.0));
    });
}

#[test]
fn keys_with_a_label_have_a_gauge_each_and_those_without_none() {
    with_recorder(async |snapshotter| {
        let clock = ManualClock::new();
        let label = |key: &u32| (*key < 2).then(|| format!("host-{key}"));
        let max_keys = NonZeroUsize::new(9).unwrap();
        let layer = fragile(&clock)
            .keyed_with_label(max_keys, |key: &u32| *key, label)
            .unwrap();
        let handle = |key| CircuitBreakerHandle::from(layer.handle().get_or_make(&key));
        for key in [1, 3] {
            fail(&handle(key)).await;
        }
        // One gauge would show the state of whichever changed last.
        for key in [0, 2] {
            succeed(&handle(key)).await.unwrap();
            handle(key).publish();
        }
        let mut seen = states(snapshotter);
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        let shown = |key: &str, state| (format!("circuit_breaker stock {key}"), state);
        assert_eq!(seen, [shown("host-0", 0.0), shown("host-1", 2.0)]);
    });
}
