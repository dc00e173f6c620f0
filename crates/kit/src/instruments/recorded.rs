//! With the feature `metrics`: what a layer says goes to the recorder.

mod by_class;
mod degraded;
mod describe;
mod handle;
mod health;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Key, Label, Level, Metadata, Recorder};

use self::by_class::ByClass;
use self::degraded::Degraded;
use self::describe::describe;
use self::handle::{Handle, Remembered, is_real, with_recorder};
use self::health::Health;
use super::{Event, Outcome, names, outcome_name};
use crate::{Criticality, Reason, RejectionKind};

static METADATA: Metadata<'static> = Metadata::new("seaworthy", Level::INFO, Some(module_path!()));

/// The instruments of one layer, or of one labelled key of it.
pub struct Instruments {
    labels: Vec<Label>,
    ended: [Handle<Counter>; 4],
    refused: [Handle<Counter>; RejectionKind::ALL.len()],
    circuit_state: Remembered,
    in_flight: Remembered,
    limit: Remembered,
    baseline: Remembered,
    queue_depth: Remembered,
    retries: Handle<Counter>,
    store_available: Remembered,
    health: Health,
    throttled: ByClass,
    degraded: Degraded,
    /// By whether the call was let through.
    decided_alone: [Handle<Counter>; 2],
    /// By result, each made when it first happens: calls with a key have one each, and most have the same few.
    keyed: RwLock<Vec<(&'static str, Arc<Handle<Counter>>)>>,
}

impl Instruments {
    pub(crate) fn new(layer: &'static str, name: &str, label: Option<&str>) -> Self {
        let mut labels = vec![
            Label::from_static_parts("layer", layer),
            Label::new("name", name.to_owned()),
        ];
        labels.extend(label.map(|key| Label::new("key", key.to_owned())));
        let key = |name, more: &[_]| key(name, &labels, more);
        let ended = |outcome| Handle::new(key(names::CALLS, &[("outcome", outcome_name(outcome))]));
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
            baseline: Remembered::new(key(names::BASELINE, &[])),
            queue_depth: Remembered::new(key(names::QUEUE_DEPTH, &[])),
            retries: Handle::new(key(names::RETRIES, &[])),
            store_available: Remembered::new(key(names::STORE_AVAILABLE, &[])),
            health: Health::default(),
            throttled: ByClass::new(names::THROTTLE_PROBABILITY),
            degraded: Degraded::new(&labels),
            decided_alone: ["false", "true"]
                .map(|admitted| Handle::new(key(names::DECIDED_ALONE, &[("admitted", admitted)]))),
            keyed: RwLock::default(),
            labels,
        }
    }

    /// Registers what this layer has with the recorder, gauges with their present values: a scrape before the first call then shows the layer.
    ///
    /// Also the refusals that it may make: what has never been counted is no zero to those who ask for its rate.
    pub fn publish(&self, refusals: &[RejectionKind]) {
        with_recorder(|recorder| self.publish_to(recorder, refusals));
    }

    /// Registers the counters of a layer that retries: attempts beyond the first, and calls given up, for each reason.
    pub fn publish_retries(&self) {
        with_recorder(|recorder| self.retries.add(recorder, 0));
        for reason in Reason::ALL {
            self.count(names::GAVE_UP, &[("reason", reason.as_str())], 0);
        }
    }

    /// Registers the counters of a layer that hedges: those sent, those that won, and those withheld, for each reason.
    pub fn publish_hedges(&self, reasons: &[&'static str]) {
        for early in [false, true] {
            self.count(names::HEDGES, &[("cause", hedge_cause(early))], 0);
        }
        self.count(names::HEDGES_WON, &[], 0);
        for reason in reasons {
            self.count(names::HEDGES_WITHHELD, &[("reason", reason)], 0);
        }
    }

    /// Registers the counters of calls that are cut short, for a layer with those limits.
    pub fn publish_timeouts(&self, limits: &[&'static str]) {
        for limit in limits {
            self.count(names::TIMEOUTS, &[("limit", limit)], 0);
        }
    }

    /// Registers the counters of calls with an idempotency key, for each result.
    pub fn publish_keyed(&self, results: &[&'static str]) {
        for result in results {
            self.count_keyed(result, 0);
        }
    }

    /// Registers what a layer has that shares a store with other processes.
    pub fn publish_store(&self) {
        with_recorder(|recorder| {
            for counter in &self.decided_alone {
                counter.add(recorder, 0);
            }
            self.store_available.flush(recorder);
        });
    }

    /// Whether a recorder hears: what a layer works out only for its gauges, it need not before.
    #[must_use]
    #[inline(always)]
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

    /// Sets the gauge of what calls take without a queue.
    pub fn set_baseline(&self, baseline: Duration) {
        self.baseline.set(baseline.as_secs_f64());
    }

    /// Registers the counters of changes of a limit that is found, for each cause.
    pub fn publish_limit_changes(&self, causes: &[&'static str]) {
        for cause in causes {
            self.count(names::LIMIT_CHANGES, &[("cause", cause)], 0);
        }
    }

    /// Sets the gauge of calls that wait.
    pub fn set_queue_depth(&self, waiting: usize) {
        self.queue_depth.set(waiting as f64);
    }

    /// Sets the gauge of the shared store.
    pub fn set_store_available(&self, available: bool) {
        self.store_available.set(f64::from(u8::from(available)));
    }

    /// Sets the gauges of the probabilities with which calls are refused, the least important class first.
    pub fn set_throttled(&self, probabilities: &[f64; Criticality::ALL.len()]) {
        self.throttled.set(&self.labels, probabilities);
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        if !self.are_heard() {
            return;
        }
        let ended = match outcome {
            Outcome::Success => &self.ended[0],
            Outcome::Failure => &self.ended[1],
            Outcome::Ignored => &self.ended[2],
            Outcome::Abandoned => &self.ended[3],
        };
        with_recorder(|recorder| {
            if ended.add(recorder, 1) {
                // The first call that a recorder sees: it has missed the gauges that were set before it came.
                self.flush(recorder);
            }
        });
    }

    pub(crate) fn event(&self, event: &Event) {
        // The keys of the rarer ones are made each time: not for nobody.
        if !self.are_heard() {
            return;
        }
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
                with_recorder(|recorder| self.retries.add(recorder, 1));
            }
            Event::GaveUp { reason, .. } => self.add(names::GAVE_UP, &[("reason", reason)]),
            Event::LimitAdapted { cause, .. } => {
                self.add(names::LIMIT_CHANGES, &[("cause", cause)]);
            }
            Event::Hedged { early, .. } => {
                self.add(names::HEDGES, &[("cause", hedge_cause(*early))]);
            }
            Event::HedgeWon { .. } => self.add(names::HEDGES_WON, &[]),
            Event::HedgeWithheld { reason } => {
                self.add(names::HEDGES_WITHHELD, &[("reason", reason)]);
            }
            Event::TimedOut { limit } => self.add(names::TIMEOUTS, &[("limit", limit)]),
            Event::Keyed { result, .. } => self.count_keyed(result, 1),
            Event::DecidedAlone { admitted } => {
                let counter = &self.decided_alone[usize::from(*admitted)];
                with_recorder(|recorder| {
                    if counter.add(recorder, 1) {
                        self.flush(recorder);
                    }
                });
            }
            Event::Checked { result, took } => self.checked(result, *took),
            // Gauges are set by the layer, which knows the present value; an event has that of its moment, and may be late.
            Event::Queued { .. }
            | Event::LimitChanged { .. }
            | Event::StoreChanged { .. }
            | Event::HealthChanged { .. }
            | Event::Draining { .. }
            | Event::Ended { .. } => {}
            Event::Degraded { .. }
            | Event::LevelChanged { .. }
            | Event::ShareMoved { .. }
            | Event::BurnChanged { .. } => self.degraded(event),
        }
    }

    fn refused(&self, kind: RejectionKind, enforced: bool) {
        if enforced {
            let refused = &self.refused[kind.index()];
            with_recorder(|recorder| refused.add(recorder, 1));
        } else {
            let labels = [("error.type", kind.as_str()), ("enforced", "false")];
            self.add(names::REFUSED, &labels);
        }
    }

    fn count_keyed(&self, result: &'static str, times: u64) {
        let counter = self.keyed_by(result);
        with_recorder(|recorder| counter.add(recorder, times));
    }

    fn keyed_by(&self, result: &'static str) -> Arc<Handle<Counter>> {
        let find = |all: &[(&str, Arc<Handle<Counter>>)]| {
            let found = all.iter().find(|(name, _)| *name == result);
            found.map(|(_, counter)| counter.clone())
        };
        if let Some(counter) = find(&self.keyed.read().unwrap_or_else(PoisonError::into_inner)) {
            return counter;
        }
        let mut all = self.keyed.write().unwrap_or_else(PoisonError::into_inner);
        find(&all).unwrap_or_else(|| {
            let key = key(names::KEYED, &self.labels, &[("result", result)]);
            let counter = Arc::new(Handle::new(key));
            all.push((result, counter.clone()));
            counter
        })
    }

    fn waited(&self, waited: Duration, admitted: bool) {
        let labels = [("admitted", if admitted { "true" } else { "false" })];
        let key = key(names::QUEUE_WAIT, &self.labels, &labels);
        with_recorder(|recorder| {
            recorder
                .register_histogram(&key, &METADATA)
                .record(waited.as_secs_f64());
        });
    }

    /// Counts something rare enough that its key is made each time.
    fn add(&self, name: &'static str, more: &[(&'static str, &'static str)]) {
        self.count(name, more, 1);
    }

    fn count(&self, name: &'static str, more: &[(&'static str, &'static str)], times: u64) {
        let key = key(name, &self.labels, more);
        with_recorder(|recorder| {
            recorder.register_counter(&key, &METADATA).increment(times);
        });
    }

    fn publish_to(&self, recorder: &dyn Recorder, refusals: &[RejectionKind]) {
        describe(recorder);
        let refused = refusals.iter().map(|kind| &self.refused[kind.index()]);
        for counter in self.ended.iter().chain(refused) {
            counter.add(recorder, 0);
        }
        self.flush(recorder);
    }

    fn flush(&self, recorder: &dyn Recorder) {
        for gauge in [
            &self.circuit_state,
            &self.in_flight,
            &self.limit,
            &self.baseline,
            &self.queue_depth,
            &self.store_available,
        ] {
            gauge.flush(recorder);
        }
        self.throttled.flush(recorder);
        self.health.flush(recorder);
        self.degraded.flush(recorder);
    }
}

fn key(name: &'static str, labels: &[Label], more: &[(&'static str, &'static str)]) -> Key {
    let mut labels = labels.to_vec();
    labels.extend(
        more.iter()
            .map(|(key, value)| Label::from_static_parts(key, value)),
    );
    Key::from_parts(name, labels)
}

const fn hedge_cause(early: bool) -> &'static str {
    if early { "failed" } else { "slow" }
}
