//! The metrics of a layer, through the `metrics` facade: names are a contract, handles are made once, a call without a recorder costs next to nothing.
//!
//! A layer is often built before the recorder is installed.
//! So nothing is registered when a layer is built: each instrument looks for the recorder when it is used, and keeps the handle of the first real one.

use seaworthy_core::Outcome;

use crate::telemetry::Event;

/// The names of all metrics, as `docs/metrics.md` lists them.
pub mod names {
    /// Counter `{layer, name, outcome}`: admitted calls that are over.
    pub const CALLS: &str = "seaworthy_calls_total";
    /// Counter `{layer, name, error.type, enforced}`: calls that were refused, or would have been.
    pub const REFUSED: &str = "seaworthy_refused_total";
    /// Gauge `{layer, name}`: 0 closed, 1 half-open, 2 open, 3 forced open, 4 forced closed, 5 disabled.
    pub const CIRCUIT_STATE: &str = "seaworthy_circuit_state";
    /// Counter `{layer, name, from, to, cause}`: changes of a circuit's state.
    pub const CIRCUIT_TRANSITIONS: &str = "seaworthy_circuit_transitions_total";
    /// Gauge `{layer, name}`: calls that hold a slot.
    pub const IN_FLIGHT: &str = "seaworthy_in_flight";
    /// Gauge `{layer, name}`: slots there are.
    pub const LIMIT: &str = "seaworthy_limit";
    /// Gauge `{layer, name}`: calls that wait for a slot.
    pub const QUEUE_DEPTH: &str = "seaworthy_queue_depth";
    /// Histogram in seconds `{layer, name, admitted}`: how long calls waited for a slot.
    pub const QUEUE_WAIT: &str = "seaworthy_queue_wait_seconds";
    /// Counter `{layer, name}`: attempts beyond the first.
    pub const RETRIES: &str = "seaworthy_retries_total";
    /// Counter `{layer, name, reason}`: failed calls that were not tried again.
    pub const GAVE_UP: &str = "seaworthy_retry_gave_up_total";
    /// Counter `{layer, name, limit}`: calls that were cut short.
    pub const TIMEOUTS: &str = "seaworthy_timeouts_total";

    /// Every name above.
    pub const ALL: [&str; 11] = [
        CALLS,
        REFUSED,
        CIRCUIT_STATE,
        CIRCUIT_TRANSITIONS,
        IN_FLIGHT,
        LIMIT,
        QUEUE_DEPTH,
        QUEUE_WAIT,
        RETRIES,
        GAVE_UP,
        TIMEOUTS,
    ];
}

/// The word for an outcome in metrics and logs.
#[must_use]
pub const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Ignored => "ignored",
        Outcome::Abandoned => "abandoned",
    }
}

#[cfg(feature = "metrics")]
pub use with_metrics::Instruments;

#[cfg(not(feature = "metrics"))]
pub use without_metrics::Instruments;

#[cfg(feature = "metrics")]
mod with_metrics {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};

    use std::time::Duration;

    use super::{Event, Outcome, names, outcome_name};
    use crate::RejectionKind;

    static METADATA: Metadata<'static> =
        Metadata::new("seaworthy", Level::INFO, Some(module_path!()));

    /// The instruments of one layer, or of one labelled key of it.
    pub struct Instruments {
        labels: Vec<Label>,
        ended: [Handle<Counter>; 4],
        refused: [Handle<Counter>; RejectionKind::ALL.len()],
        circuit_state: Remembered,
        in_flight: Remembered,
        limit: Remembered,
        queue_depth: Remembered,
        retries: Handle<Counter>,
    }

    /// A metric and its handle at the recorder that is installed, once one is.
    struct Handle<H> {
        key: Key,
        made: OnceLock<(usize, H)>,
    }

    /// A gauge that remembers what it was set to before there was a recorder.
    struct Remembered {
        handle: Handle<Gauge>,
        /// The bits of the value, or [`UNSET`].
        value: AtomicU64,
    }

    /// Bits that no gauge of ours is ever set to: a NaN.
    const UNSET: u64 = u64::MAX;

    impl Instruments {
        pub(crate) fn new(layer: &'static str, name: &str, label: Option<&str>) -> Self {
            let mut labels = vec![
                Label::from_static_parts("layer", layer),
                Label::new("name", name.to_owned()),
            ];
            labels.extend(label.map(|key| Label::new("key", key.to_owned())));
            let key = |name, more: &[_]| key(name, &labels, more);
            let ended =
                |outcome| Handle::new(key(names::CALLS, &[("outcome", outcome_name(outcome))]));
            Self {
                ended: [
                    ended(Outcome::Success),
                    ended(Outcome::Failure),
                    ended(Outcome::Ignored),
                    ended(Outcome::Abandoned),
                ],
                refused: RejectionKind::ALL.map(|kind| {
                    let labels = [("error.type", kind.as_str()), ("enforced", "true")];
                    Handle::new(key(names::REFUSED, &labels))
                }),
                circuit_state: Remembered::new(key(names::CIRCUIT_STATE, &[])),
                in_flight: Remembered::new(key(names::IN_FLIGHT, &[])),
                limit: Remembered::new(key(names::LIMIT, &[])),
                queue_depth: Remembered::new(key(names::QUEUE_DEPTH, &[])),
                retries: Handle::new(key(names::RETRIES, &[])),
                labels,
            }
        }

        /// Registers what this layer has with the recorder, gauges with their present values: a scrape before the first call then shows the layer.
        pub fn publish(&self) {
            metrics::with_recorder(|recorder| self.publish_to(recorder));
        }

        /// Whether a recorder hears: what a layer works out only for its gauges, it need not before.
        #[must_use]
        pub fn are_heard(&self) -> bool {
            metrics::with_recorder(is_real)
        }

        /// Sets the gauge of the circuit's state.
        pub fn set_circuit_state(&self, state: u8) {
            self.circuit_state.set(f64::from(state));
        }

        /// Sets the gauge of calls that hold a slot.
        pub fn set_in_flight(&self, running: usize) {
            self.in_flight.set(running as f64);
        }

        /// Sets the gauge of slots.
        pub fn set_limit(&self, limit: usize) {
            self.limit.set(limit as f64);
        }

        /// Sets the gauge of calls that wait.
        pub fn set_queue_depth(&self, waiting: usize) {
            self.queue_depth.set(waiting as f64);
        }

        pub(crate) fn ended(&self, outcome: Outcome) {
            let ended = match outcome {
                Outcome::Success => &self.ended[0],
                Outcome::Failure => &self.ended[1],
                Outcome::Ignored => &self.ended[2],
                Outcome::Abandoned => &self.ended[3],
            };
            metrics::with_recorder(|recorder| {
                if ended.add(recorder, 1) {
                    // The first call that a recorder sees: it has missed the gauges that were set before it came.
                    self.flush(recorder);
                }
            });
        }

        pub(crate) fn event(&self, event: &Event) {
            match event {
                Event::Refused { kind, enforced, .. } => self.refused(*kind, *enforced),
                Event::CircuitChanged {
                    from, to, cause, ..
                } => {
                    let labels = [("from", *from), ("to", *to), ("cause", *cause)];
                    self.add(names::CIRCUIT_TRANSITIONS, &labels);
                }
                Event::Dequeued { waited, admitted } => self.waited(*waited, *admitted),
                Event::Retrying { .. } => {
                    metrics::with_recorder(|recorder| self.retries.add(recorder, 1));
                }
                Event::GaveUp { reason, .. } => self.add(names::GAVE_UP, &[("reason", reason)]),
                Event::TimedOut { limit } => self.add(names::TIMEOUTS, &[("limit", limit)]),
                // Gauges are set by the layer, which knows the present value; an event has that of its moment, and may be late.
                Event::Queued { .. } | Event::LimitChanged { .. } | Event::Ended { .. } => {}
            }
        }

        fn refused(&self, kind: RejectionKind, enforced: bool) {
            if enforced {
                let refused = &self.refused[kind.index()];
                metrics::with_recorder(|recorder| refused.add(recorder, 1));
            } else {
                let labels = [("error.type", kind.as_str()), ("enforced", "false")];
                self.add(names::REFUSED, &labels);
            }
        }

        fn waited(&self, waited: Duration, admitted: bool) {
            let labels = [("admitted", if admitted { "true" } else { "false" })];
            let key = key(names::QUEUE_WAIT, &self.labels, &labels);
            metrics::with_recorder(|recorder| {
                recorder
                    .register_histogram(&key, &METADATA)
                    .record(waited.as_secs_f64());
            });
        }

        /// Counts something rare enough that its key is made each time.
        fn add(&self, name: &'static str, more: &[(&'static str, &'static str)]) {
            let key = key(name, &self.labels, more);
            metrics::with_recorder(|recorder| {
                recorder.register_counter(&key, &METADATA).increment(1);
            });
        }

        fn publish_to(&self, recorder: &dyn Recorder) {
            describe(recorder);
            for counter in &self.ended {
                counter.add(recorder, 0);
            }
            self.flush(recorder);
        }

        fn flush(&self, recorder: &dyn Recorder) {
            for gauge in [
                &self.circuit_state,
                &self.in_flight,
                &self.limit,
                &self.queue_depth,
            ] {
                gauge.flush(recorder);
            }
        }
    }

    impl<H> Handle<H> {
        const fn new(key: Key) -> Self {
            Self {
                key,
                made: OnceLock::new(),
            }
        }

        /// Uses the handle at this recorder; whether it was made just now and kept.
        fn with(
            &self,
            recorder: &dyn Recorder,
            make: impl FnOnce(&dyn Recorder, &Key) -> H,
            then: impl FnOnce(&H),
        ) -> bool {
            let here = std::ptr::from_ref(recorder).addr();
            match self.made.get() {
                Some((there, handle)) if *there == here => {
                    then(handle);
                    return false;
                }
                _ => {}
            }
            let handle = make(recorder, &self.key);
            then(&handle);
            // A handle of the stand-in must not be kept, or the layer would stay silent for ever; one of a second recorder is not kept either.
            is_real(recorder) && self.made.set((here, handle)).is_ok()
        }
    }

    impl Handle<Counter> {
        fn add(&self, recorder: &dyn Recorder, n: u64) -> bool {
            let make =
                |recorder: &dyn Recorder, key: &Key| recorder.register_counter(key, &METADATA);
            self.with(recorder, make, |counter| counter.increment(n))
        }
    }

    impl Remembered {
        const fn new(key: Key) -> Self {
            Self {
                handle: Handle::new(key),
                value: AtomicU64::new(UNSET),
            }
        }

        fn set(&self, value: f64) {
            self.value.store(value.to_bits(), Ordering::Relaxed);
            // This value, not the one remembered: another thread's, shown here, would stay after that thread has corrected itself.
            metrics::with_recorder(|recorder| self.show(recorder, value));
        }

        fn flush(&self, recorder: &dyn Recorder) {
            let bits = self.value.load(Ordering::Relaxed);
            if bits != UNSET {
                self.show(recorder, f64::from_bits(bits));
            }
        }

        fn show(&self, recorder: &dyn Recorder, value: f64) {
            let make = |recorder: &dyn Recorder, key: &Key| recorder.register_gauge(key, &METADATA);
            self.handle.with(recorder, make, |gauge| gauge.set(value));
        }
    }

    /// Whether it is a recorder at all: the one that stands in until one is installed has no size.
    fn is_real(recorder: &dyn Recorder) -> bool {
        size_of_val(recorder) > 0
    }

    fn key(name: &'static str, labels: &[Label], more: &[(&'static str, &'static str)]) -> Key {
        let mut labels = labels.to_vec();
        labels.extend(
            more.iter()
                .map(|(key, value)| Label::from_static_parts(key, value)),
        );
        Key::from_parts(name, labels)
    }

    fn describe(recorder: &dyn Recorder) {
        let count = [
            (names::CALLS, "Admitted calls that are over, by outcome."),
            (
                names::REFUSED,
                "Calls refused, by kind; enforced=false: only observed.",
            ),
            (names::CIRCUIT_TRANSITIONS, "Changes of a circuit's state."),
            (names::RETRIES, "Attempts beyond the first."),
            (
                names::GAVE_UP,
                "Failed calls that were not tried again, by reason.",
            ),
            (names::TIMEOUTS, "Calls cut short, by limit."),
        ];
        for (name, text) in count {
            recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
        }
        let gauge = [
            (
                names::CIRCUIT_STATE,
                "0 closed, 1 half-open, 2 open, 3 forced open, 4 forced closed, 5 disabled.",
            ),
            (names::IN_FLIGHT, "Calls that hold a slot."),
            (names::LIMIT, "Slots there are."),
            (names::QUEUE_DEPTH, "Calls that wait for a slot."),
        ];
        for (name, text) in gauge {
            recorder.describe_gauge(name.into(), Some(Unit::Count), text.into());
        }
        let text = "How long calls waited for a slot.";
        recorder.describe_histogram(names::QUEUE_WAIT.into(), Some(Unit::Seconds), text.into());
    }
}

#[cfg(not(feature = "metrics"))]
mod without_metrics {
    #![expect(
        clippy::unused_self,
        reason = "the other half of the feature `metrics`: the same methods, doing nothing"
    )]

    use super::{Event, Outcome};

    /// The instruments of one layer; without the feature `metrics` they do nothing.
    #[non_exhaustive]
    pub struct Instruments;

    impl Instruments {
        pub(crate) const fn new(_: &'static str, _: &str, _: Option<&str>) -> Self {
            Self
        }

        /// Does nothing.
        pub const fn publish(&self) {}

        /// Nobody does.
        #[must_use]
        pub const fn are_heard(&self) -> bool {
            false
        }

        /// Does nothing.
        pub const fn set_circuit_state(&self, _: u8) {}

        /// Does nothing.
        pub const fn set_in_flight(&self, _: usize) {}

        /// Does nothing.
        pub const fn set_limit(&self, _: usize) {}

        /// Does nothing.
        pub const fn set_queue_depth(&self, _: usize) {}

        pub(crate) const fn ended(&self, _: Outcome) {}

        pub(crate) const fn event(&self, _: &Event) {}
    }
}

impl std::fmt::Debug for Instruments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instruments")
    }
}
