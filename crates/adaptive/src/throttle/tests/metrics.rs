//! What a recorder shows of an account.

use std::num::NonZeroUsize;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

/// The gauges of the probabilities, by their labels.
fn probabilities(snapshotter: &Snapshotter) -> Vec<(String, f64)> {
    let metrics = snapshotter.snapshot().into_vec().into_iter();
    let gauges = metrics.filter_map(|(key, _, _, value)| match value {
        DebugValue::Gauge(value) if key.key().name() == "seaworthy_throttle_probability" => {
            let labels = key.key().labels().map(|label| label.value().to_owned());
            Some((labels.collect::<Vec<_>>().join(" "), value.into_inner()))
        }
        _ => None,
    });
    let mut gauges: Vec<_> = gauges.collect();
    gauges.sort_by(|one, other| one.0.cmp(&other.0));
    gauges
}

fn with_recorder(test: impl AsyncFnOnce(&Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    ::metrics::with_local_recorder(&recorder, || runtime.block_on(test(&snapshotter)));
}

fn shown(
    of: &str,
    [critical, critical_plus, sheddable, sheddable_plus]: [f64; 4],
) -> Vec<(String, f64)> {
    let name = |class: &str| format!("throttle search {of}{class}");
    vec![
        (name("critical"), critical),
        (name("critical-plus"), critical_plus),
        (name("sheddable"), sheddable),
        (name("sheddable-plus"), sheddable_plus),
    ]
}

#[test]
fn gauges_have_the_probabilities_by_which_the_last_call_was_weighed() {
    with_recorder(async |snapshotter| {
        let handle = throttle();
        handle.publish();
        assert_eq!(probabilities(snapshotter), shown("", [0.0; 4]));
        scope(SheddablePlus, not_accepted(&handle)).await;
        accepted(&handle).await.unwrap();
        assert_eq!(probabilities(snapshotter), shown("", [0.0, 0.0, 0.5, 0.5]));
        advance(Duration::from_secs(120)).await;
        accepted(&handle).await.unwrap();
        assert_eq!(probabilities(snapshotter), shown("", [0.0; 4]));
    });
}

#[test]
fn refusals_are_counted_as_shed() {
    with_recorder(async |snapshotter| {
        let handle = throttle();
        let _overloaded = Overloaded::new(&handle);
        accepted(&handle).await.unwrap_err();
        let metrics = snapshotter.snapshot().into_vec().into_iter();
        let refused = metrics.filter(|(key, ..)| key.key().name() == "seaworthy_refused_total");
        let labels = refused.map(|(key, _, _, value)| {
            let labels = key.key().labels().map(|label| label.value().to_owned());
            (labels.collect::<Vec<_>>().join(" "), value)
        });
        let expected = "throttle search shed true".to_owned();
        assert_eq!(
            labels.collect::<Vec<_>>(),
            [(expected, DebugValue::Counter(1))]
        );
    });
}

#[test]
fn only_labelled_keys_have_gauges() {
    with_recorder(async |snapshotter| {
        let label = |host: &u32| (*host == 1).then(|| "one".to_owned());
        let layer = builder()
            .keyed_with_label(NonZeroUsize::new(9).unwrap(), |host: &u32| *host, label)
            .unwrap();
        let service = layer.layer(service_fn(async |_: u32| Err::<(), _>("too much")));
        for host in [1, 2, 1, 2] {
            let _ = service.clone().oneshot(host).await;
        }
        assert_eq!(
            probabilities(snapshotter),
            shown("one ", [0.5, 0.0, 0.5, 0.5])
        );
    });
}
