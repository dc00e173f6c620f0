//! What a scrape shows of a stack that has seen no call.

use metrics_util::debugging::DebuggingRecorder;
use seaworthy::rate_limit::Quota;
use seaworthy::{client, kit, server};

/// Which layers show how their calls ended.
fn shown(publish: impl FnOnce()) -> Vec<String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, publish);
    let mut layers = Vec::new();
    for (key, ..) in snapshotter.snapshot().into_vec() {
        if key.key().name() == kit::instruments::names::CALLS {
            let labels = key.key().labels();
            let layer = labels.filter(|label| label.key() == "layer");
            layers.extend(layer.map(|label| label.value().to_owned()));
        }
    }
    layers.sort();
    layers.dedup();
    layers
}

#[test]
fn every_layer_of_a_client_is_published() {
    let stack = client("gateway").plain().build().unwrap();
    let layers = shown(|| stack.publish());
    let every = [
        "bulkhead",
        "circuit_breaker",
        "deadline",
        "retry",
        "timeout",
    ];
    assert_eq!(layers, every);
}

#[test]
fn every_layer_of_a_server_is_published() {
    let stack = server("payments").plain().build().unwrap();
    let layers = shown(|| stack.publish());
    assert_eq!(layers, ["bulkhead", "deadline", "timeout"]);
}

#[test]
fn every_layer_that_was_asked_for_is_published() {
    let stack = client("gateway").plain();
    let stack = stack.hedge(|it| it).throttle(|it| it).pace(|it| it);
    let stack = stack.build().unwrap();
    let layers = shown(|| stack.publish());
    for layer in ["hedge", "pace", "throttle"] {
        assert!(layers.iter().any(|it| it == layer), "{layer} {layers:?}");
    }
    let stack = server("payments").plain();
    let stack = stack.rate_limit(|it| it.quota(Quota::per_second(20)));
    let stack = stack.adaptive(|it| it).build().unwrap();
    let layers = shown(|| stack.publish());
    for layer in ["adaptive", "rate_limit"] {
        assert!(layers.iter().any(|it| it == layer), "{layer} {layers:?}");
    }
}
