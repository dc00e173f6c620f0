//! The metrics of a limit.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use seaworthy_kit::instruments::names::{
    BASELINE, IN_FLIGHT, LIMIT, LIMIT_CHANGES, QUEUE_DEPTH, QUEUE_WAIT, REFUSED,
};

use super::*;

fn shown(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let seen = snapshotter.snapshot().into_vec().into_iter();
    let shown = seen.map(|(key, _, _, value)| {
        let key = key.key();
        let labels = key
            .labels()
            .filter(|l| !matches!(l.key(), "layer" | "name"));
        let labels: Vec<_> = labels.map(|l| l.value().to_owned()).collect();
        let value = match value {
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Counter(count) => count as f64,
            DebugValue::Histogram(values) => values.len() as f64,
        };
        (format!("{}{labels:?}", key.name()), value)
    });
    shown.collect()
}

/// Runs the test with a recorder, in a runtime whose time stands still.
fn recorded<F: Future<Output = ()>>(test: impl FnOnce(Snapshotter) -> F) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(test(snapshotter)));
}

#[test]
fn metrics_tell_limit_baseline_in_flight_and_changes() {
    recorded(|seen| async move {
        let handle = limit(20).queue(9).build().unwrap().handle();
        assert_eq!(shown(&seen)[&format!("{LIMIT}[]")], 20.0);
        for _ in 0..5 {
            round(&handle, 20, 20 * MILLI, || Ok(())).await;
        }
        let _calls: Vec<_> = (0..20).map(|_| Call::start(&handle)).collect();
        let waits = Call::start(&handle);
        let all = shown(&seen);
        assert!(all[&format!("{LIMIT}[]")] >= 21.0);
        assert_eq!(
            all[&format!("{IN_FLIGHT}[]")],
            handle.snapshot().running as f64
        );
        assert_eq!(
            all[&format!("{QUEUE_DEPTH}[]")],
            handle.snapshot().waiting as f64
        );
        assert!((0.019..=0.02).contains(&all[&format!("{BASELINE}[]")]));
        assert!(all[&format!("{LIMIT_CHANGES}[\"fast\"]")] >= 1.0);
        drop(waits);
    });
}

#[test]
fn gauge_of_calls_falls_when_they_end() {
    recorded(|seen| async move {
        let handle = limit(20).build().unwrap().handle();
        let [first, second] = [(); 2].map(|()| Call::start(&handle));
        let in_flight = || shown(&seen)[&format!("{IN_FLIGHT}[]")];
        assert_eq!(in_flight(), 2.0);
        first.end();
        assert_eq!(in_flight(), 1.0);
        second.end();
        assert_eq!(in_flight(), 0.0);
    });
}

#[test]
fn time_in_the_queue_of_a_refused_call_is_a_metric() {
    recorded(|seen| async move {
        let handle = limit(1).max(1).queue(9).build().unwrap().handle();
        let _running = Call::start(&handle);
        let waiting = Call::start(&handle);
        advance(101 * MILLI).await;
        let _ = waiting.refusal();
        let all = shown(&seen);
        assert_eq!(all[&format!("{QUEUE_WAIT}[\"false\"]")], 1.0);
        assert_eq!(all[&format!("{REFUSED}[\"queue_timeout\", \"true\"]")], 1.0);
    });
}

#[test]
fn layer_publishes_what_it_may_count() {
    recorded(|seen| async move {
        limit(1).build().unwrap().handle().publish();
        let all = shown(&seen);
        assert_eq!(all[&format!("{REFUSED}[\"shed\", \"true\"]")], 0.0);
        assert!(!all.contains_key(&format!("{REFUSED}[\"queue_timeout\", \"true\"]")));
        for cause in ["fast", "slow", "dropped", "probing", "probed", "bounds"] {
            assert_eq!(all[&format!("{LIMIT_CHANGES}[\"{cause}\"]")], 0.0);
        }
        limit(1).queue(1).build().unwrap().handle().publish();
        assert!(shown(&seen).contains_key(&format!("{REFUSED}[\"queue_timeout\", \"true\"]")));
    });
}
