//! The metrics of a layer, with the recorder there from the start, late, or never.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::*;
use crate::instruments::names;

/// What a recorder has seen: `name{labels}` and the value. Read once, since reading resets.
pub(super) struct Seen(pub(super) Vec<(String, f64)>);

impl Seen {
    pub(super) fn during(act: impl FnOnce()) -> Self {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, act);
        let mut seen: Vec<_> = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .map(|(key, _, _, value)| (full_name(key.key()), number(value)))
            .collect();
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        Self(seen)
    }

    /// What was seen of one metric.
    fn of(&self, name: &str) -> Vec<(String, f64)> {
        let start = format!("{name}{{");
        let metrics = self.0.iter().filter(|(key, _)| key.starts_with(&start));
        metrics.cloned().collect()
    }
}

fn full_name(key: &Key) -> String {
    let label = |label: &metrics::Label| format!("{}={}", label.key(), label.value());
    let labels: Vec<_> = key.labels().map(label).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

fn number(value: DebugValue) -> f64 {
    match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(value) => value.into_inner(),
        DebugValue::Histogram(values) => values.iter().map(|value| value.into_inner()).sum(),
    }
}

const OWN: &str = "layer=bulkhead,name=database";

#[test]
fn every_outcome_is_counted_under_its_name() {
    let seen = Seen::during(|| {
        let telemetry = telemetry();
        for (outcome, times) in [
            (Outcome::Success, 4),
            (Outcome::Failure, 3),
            (Outcome::Ignored, 2),
            (Outcome::Abandoned, 1),
        ] {
            for _ in 0..times {
                telemetry.ended(outcome);
            }
        }
    });
    let name = |outcome| format!("{}{{{OWN},outcome={outcome}}}", names::CALLS);
    assert_eq!(
        seen.of(names::CALLS),
        [
            (name("abandoned"), 1.0),
            (name("failure"), 3.0),
            (name("ignored"), 2.0),
            (name("success"), 4.0),
        ]
    );
}

#[test]
fn refusals_are_counted_by_kind_and_by_whether_they_were_enforced() {
    let seen = Seen::during(|| {
        let telemetry = telemetry();
        let refusal = Refusal::new(RejectionKind::BulkheadFull, None);
        let _ = telemetry.refuse(refusal);
        let _ = telemetry.refuse(refusal);
        telemetry.let_through(refusal);
        let _ = telemetry.refuse(Refusal::new(RejectionKind::Draining, None));
    });
    let name = |kind, enforced| {
        format!(
            "{}{{{OWN},error.type={kind},enforced={enforced}}}",
            names::REFUSED
        )
    };
    assert_eq!(
        seen.of(names::REFUSED),
        [
            (name("bulkhead_full", false), 1.0),
            (name("bulkhead_full", true), 2.0),
            (name("draining", true), 1.0),
        ]
    );
}

#[test]
fn layer_built_and_used_before_the_recorder_is_not_silent() {
    let telemetry = telemetry();
    telemetry.instruments().set_limit(8);
    telemetry.instruments().set_in_flight(3);
    telemetry.ended(Outcome::Success);
    let _ = telemetry.refuse(Refusal::new(RejectionKind::BulkheadFull, None));

    let seen = Seen::during(|| telemetry.ended(Outcome::Success));
    let gauge = |name: &str, value| vec![(format!("{name}{{{OWN}}}"), value)];
    assert_eq!(seen.of(names::LIMIT), gauge(names::LIMIT, 8.0));
    assert_eq!(seen.of(names::IN_FLIGHT), gauge(names::IN_FLIGHT, 3.0));
    let calls = seen.of(names::CALLS);
    assert_eq!(calls.iter().map(|(_, count)| count).sum::<f64>(), 1.0);
    assert!(seen.of(names::QUEUE_DEPTH).is_empty(), "it was never set");
}

/// Counts what is registered with it.
#[derive(Default)]
struct Registry(AtomicUsize);

impl metrics::Recorder for Registry {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.fetch_add(1, Ordering::Relaxed);
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// A handle of the stand-in that was kept would be in the way of the one to keep.
#[test]
fn handles_are_made_once_also_by_a_layer_that_was_used_before_the_recorder() {
    let telemetry = telemetry();
    let used = || {
        telemetry.ended(Outcome::Success);
        telemetry.instruments().set_in_flight(1);
    };
    used();
    let registry = Registry::default();
    metrics::with_local_recorder(&registry, || (0..5).for_each(|_| used()));
    assert_eq!(registry.0.load(Ordering::Relaxed), 2);
}

/// A recorder that panics whatever it is asked.
struct Broken(#[expect(dead_code, reason = "a recorder without a size is the stand-in")] u8);

fn broken() -> ! {
    std::panic::resume_unwind(Box::new("as a broken exporter might"))
}

impl metrics::Recorder for Broken {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        broken()
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        broken()
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        broken()
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        broken()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        broken()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        broken()
    }
}

#[test]
fn panic_of_a_recorder_is_contained() {
    let telemetry = telemetry();
    let recorder = Recorder::new();
    let _listening = telemetry.subscribe(recorder.listener());
    metrics::with_local_recorder(&Broken(0), || {
        let instruments = telemetry.instruments();
        instruments.publish(&[RejectionKind::BulkheadFull]);
        instruments.publish_retries();
        instruments.set_in_flight(1);
        telemetry.ended(Outcome::Success);
        let refusal = Refusal::new(RejectionKind::BulkheadFull, None);
        let _ = telemetry.refuse(refusal);
        telemetry.let_through(refusal);
        telemetry.report(&Event::TimedOut { limit: "head" });
        telemetry.report(&Event::Dequeued {
            waited: Duration::ZERO,
            admitted: true,
        });
    });
    assert_eq!(recorder.events().len(), 5, "listeners hear all the same");
}

#[test]
fn what_may_be_cut_short_or_given_up_is_published_at_zero() {
    let seen = Seen::during(|| {
        let telemetry = telemetry();
        telemetry.instruments().publish_retries();
        telemetry.instruments().publish_timeouts(&["head", "idle"]);
    });
    let gave_up = seen.of(names::GAVE_UP);
    assert_eq!(gave_up.len(), Reason::ALL.len());
    let timeouts = seen.of(names::TIMEOUTS);
    let named = |limit| format!("{}{{{OWN},limit={limit}}}", names::TIMEOUTS);
    assert_eq!(timeouts, [(named("head"), 0.0), (named("idle"), 0.0)]);
    assert!(gave_up.iter().all(|(_, times)| *times == 0.0));
}

#[test]
fn published_layer_is_seen_before_its_first_call() {
    let telemetry = telemetry();
    telemetry.instruments().set_circuit_state(2);
    let seen = Seen::during(|| {
        telemetry
            .instruments()
            .publish(&[RejectionKind::CircuitOpen]);
        telemetry.instruments().publish_retries();
    });
    let calls = seen.of(names::CALLS);
    assert_eq!(calls.len(), 4, "each outcome, at zero: {calls:?}");
    assert!(calls.iter().all(|(_, count)| *count == 0.0));
    let state = format!("{}{{{OWN}}}", names::CIRCUIT_STATE);
    assert_eq!(seen.of(names::CIRCUIT_STATE), [(state, 2.0)]);
    let refused = seen.of(names::REFUSED);
    assert!(refused[0].0.contains("circuit_open"), "{refused:?}");
    assert_eq!((refused.len(), refused[0].1), (1, 0.0));
    assert_eq!(seen.of(names::RETRIES).len(), 1);
}

#[test]
fn labelled_key_has_metrics_of_its_own_and_others_share_the_layers() {
    let seen = Seen::during(|| {
        let telemetry = telemetry();
        telemetry.ended(Outcome::Success);
        telemetry.for_key(None).ended(Outcome::Success);
        telemetry.for_key(Some("a")).ended(Outcome::Success);
    });
    let name = |labels: &str| format!("{}{{{labels},outcome=success}}", names::CALLS);
    assert_eq!(
        seen.of(names::CALLS),
        [(name(&format!("{OWN},key=a")), 1.0), (name(OWN), 2.0),]
    );
}

#[test]
fn gauges_show_what_they_were_last_set_to() {
    let telemetry = telemetry();
    let instruments = telemetry.instruments();
    let seen = Seen::during(|| {
        for value in [7, 2] {
            instruments.set_in_flight(value);
            instruments.set_queue_depth(value);
            instruments.set_limit(value);
        }
    });
    for name in [names::IN_FLIGHT, names::QUEUE_DEPTH, names::LIMIT] {
        assert_eq!(seen.of(name), [(format!("{name}{{{OWN}}}"), 2.0)]);
    }
}

#[test]
fn rare_events_have_their_metrics() {
    let seen = Seen::during(|| {
        let telemetry = telemetry();
        for event in [
            Event::CircuitChanged {
                from: "closed",
                to: "open",
                cause: "failure_rate",
                open_for: None,
            },
            Event::Dequeued {
                waited: Duration::from_millis(1500),
                admitted: true,
            },
            Event::Retrying {
                attempt: 1,
                delay: Duration::ZERO,
                hinted: false,
            },
            Event::GaveUp {
                attempts: 3,
                reason: "attempts",
            },
            Event::Hedged {
                attempt: 2,
                early: true,
            },
            Event::HedgeWon { attempt: 2 },
            Event::HedgeWithheld { reason: "budget" },
            Event::TimedOut { limit: "head" },
        ] {
            telemetry.report(&event);
        }
    });
    let expected = [
        (
            names::CIRCUIT_TRANSITIONS,
            ",from=closed,to=open,cause=failure_rate",
            1.0,
        ),
        (names::QUEUE_WAIT, ",admitted=true", 1.5),
        (names::RETRIES, "", 1.0),
        (names::GAVE_UP, ",reason=attempts", 1.0),
        (names::HEDGES, ",cause=failed", 1.0),
        (names::HEDGES_WON, "", 1.0),
        (names::HEDGES_WITHHELD, ",reason=budget", 1.0),
        (names::TIMEOUTS, ",limit=head", 1.0),
    ];
    for (name, labels, value) in expected {
        let key = format!("{name}{{{OWN}{labels}}}");
        assert_eq!(seen.of(name), [(key, value)]);
    }
    assert_eq!(seen.0.len(), expected.len(), "{:?}", seen.0);
}

#[test]
fn store_that_went_away_before_the_recorder_came_is_shown() {
    let telemetry = telemetry();
    telemetry.instruments().set_store_available(false);
    let seen = Seen::during(|| {
        for admitted in [true, false, true] {
            telemetry.report(&Event::DecidedAlone { admitted });
        }
    });
    let available = format!("{}{{{OWN}}}", names::STORE_AVAILABLE);
    assert_eq!(seen.of(names::STORE_AVAILABLE), [(available, 0.0)]);
    let alone = |admitted, count| {
        let name = names::DECIDED_ALONE;
        (format!("{name}{{{OWN},admitted={admitted}}}"), count)
    };
    let expected = [alone("false", 1.0), alone("true", 2.0)];
    assert_eq!(seen.of(names::DECIDED_ALONE), expected);
}

#[test]
fn shared_store_is_published_before_anything_has_happened() {
    let seen = Seen::during(|| {
        let telemetry = telemetry();
        telemetry.instruments().set_store_available(true);
        telemetry.instruments().publish_store();
    });
    let values: Vec<f64> = seen.0.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, [0.0, 0.0, 1.0], "{:?}", seen.0);
}
