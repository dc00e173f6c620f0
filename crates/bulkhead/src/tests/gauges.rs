//! The gauges of a bulkhead, and those of keys.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use seaworthy_kit::instruments::names::{IN_FLIGHT, LIMIT, QUEUE_DEPTH, QUEUE_WAIT, REFUSED};

use super::*;

/// Runs the test with a recorder, which the snapshotter reads.
fn recorded(test: impl FnOnce(&Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || test(&snapshotter));
}

/// What the gauges show, by their names and the labels of keys. Reading resets them.
fn gauges(snapshotter: &Snapshotter) -> BTreeMap<(String, Option<String>), f64> {
    let seen = snapshotter.snapshot().into_vec().into_iter();
    let gauges = seen.filter_map(|(key, _, _, value)| {
        let mut labels = key.key().labels();
        let label = labels.find(|label| label.key() == "key");
        let label = label.map(|label| label.value().to_owned());
        match value {
            DebugValue::Gauge(value) => {
                Some(((key.key().name().to_owned(), label), value.into_inner()))
            }
            _ => None,
        }
    });
    gauges.collect()
}

/// What one of the layer's own gauges shows.
fn gauge(snapshotter: &Snapshotter, name: &str) -> Option<f64> {
    gauges(snapshotter).remove(&(name.to_owned(), None))
}

fn patient(slots: usize) -> BulkheadHandle {
    let layer = BulkheadLayer::plain("pool").max_concurrent(slots);
    layer.queue(9, Duration::MAX).build().unwrap().handle()
}

#[test]
fn gauges_follow_every_call_and_every_wait() {
    recorded(|seen| {
        let handle = patient(2);
        let shown = |name| gauge(seen, name);
        let both = || {
            let mut shown = gauges(seen);
            [IN_FLIGHT, QUEUE_DEPTH].map(|name| shown.remove(&(name.to_owned(), None)).unwrap())
        };
        assert_eq!(shown(LIMIT), Some(2.0));
        let [first, second] = [(); 2].map(|()| Call::start(&handle));
        assert_eq!(shown(IN_FLIGHT), Some(2.0));
        let waiting = [(); 3].map(|()| Call::start(&handle));
        assert_eq!(both(), [2.0, 3.0]);
        first.end();
        assert_eq!(both(), [2.0, 2.0]);
        drop(waiting);
        assert_eq!(both(), [1.0, 0.0]);
        drop(second);
        assert_eq!(shown(IN_FLIGHT), Some(0.0));
        handle.set_limit(7).unwrap();
        assert_eq!(shown(LIMIT), Some(7.0));
    });
}

#[test]
fn waits_are_told_with_whether_they_were_worth_it() {
    recorded(|seen| {
        let handle = patient(1);
        let first = Call::start(&handle);
        let [mut second, third] = [(); 2].map(|()| Call::start(&handle));
        first.end();
        second.goes_on();
        drop(third);
        let mut told = Vec::new();
        for (key, _, _, value) in seen.snapshot().into_vec() {
            if let (QUEUE_WAIT, DebugValue::Histogram(waits)) = (key.key().name(), value) {
                let mut labels = key.key().labels();
                let admitted = labels.find(|label| label.key() == "admitted").unwrap();
                told.push((admitted.value().to_owned(), waits.len()));
            }
        }
        told.sort();
        assert_eq!(told, [("false".to_owned(), 1), ("true".to_owned(), 1)]);
    });
}

#[test]
fn bulkhead_used_before_the_recorder_shows_itself_when_published() {
    let handle = patient(1);
    let _calls = [(); 3].map(|()| Call::start(&handle));
    recorded(|seen| {
        handle.publish();
        let expected = [(IN_FLIGHT, 1.0), (LIMIT, 1.0), (QUEUE_DEPTH, 2.0)];
        let expected = expected.map(|(name, value)| ((name.to_owned(), None), value));
        assert_eq!(gauges(seen), BTreeMap::from(expected));
    });
}

#[test]
fn refusals_that_cannot_be_are_not_published() {
    let published = |handle: &BulkheadHandle| {
        let mut kinds = Vec::new();
        recorded(|seen| {
            handle.publish();
            for (key, ..) in seen.snapshot().into_vec() {
                if key.key().name() == REFUSED {
                    let mut labels = key.key().labels();
                    let kind = labels.find(|label| label.key() == "error.type").unwrap();
                    kinds.push(kind.value().to_owned());
                }
            }
        });
        kinds.sort();
        kinds
    };
    let shed = BulkheadLayer::plain("pool").build().unwrap().handle();
    assert_eq!(published(&shed), ["bulkhead_full"]);
    let both = ["bulkhead_full", "queue_timeout"];
    assert_eq!(published(&patient(1)), both);
}

#[test]
fn only_keys_with_a_label_have_gauges() {
    recorded(|seen| {
        let label = |tenant: &u32| (*tenant == 1).then(|| "first".to_owned());
        let layer = BulkheadLayer::plain("tenants")
            .max_concurrent(3)
            .keyed_with_label(NonZeroUsize::new(9).unwrap(), |tenant: &u32| *tenant, label)
            .unwrap();
        let of = |tenant: u32| BulkheadHandle::from(layer.handle().get_or_make(&tenant));
        let _calls = [1, 1, 2].map(|tenant| Call::start(&of(tenant)));
        let expected = [(IN_FLIGHT, 2.0), (LIMIT, 3.0), (QUEUE_DEPTH, 0.0)];
        let first = Some("first".to_owned());
        let expected = expected.map(|(name, value)| ((name.to_owned(), first.clone()), value));
        assert_eq!(gauges(seen), BTreeMap::from(expected));
    });
}
