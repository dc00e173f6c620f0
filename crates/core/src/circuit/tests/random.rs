//! Random lists of operations, also with clocks that jump, on the circuit and on its naive model at once.

use proptest::prelude::*;

use super::model::{Model, Options, Pass, TICK};
use super::*;
use crate::circuit::{Cause, Why};
use crate::sync::atomic::{Ordering, writes};

const MS: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
enum Op {
    Admit,
    /// Settles one of the calls under way.
    Settle {
        which: usize,
        outcome: Outcome,
        slow: bool,
        hint: Option<u64>,
    },
    Order(State),
    Reset,
    Advance(u64),
    Back(u64),
    /// To the moment at which the circuit said one should come back.
    ComeBack,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        5 => Just(Outcome::Success),
        5 => Just(Outcome::Failure),
        1 => Just(Outcome::Ignored),
        1 => Just(Outcome::Abandoned),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    const FORCED: [State; 3] = [State::ForcedOpen, State::ForcedClosed, State::Disabled];
    let hint = prop::option::weighted(0.2, 0..2000u64);
    prop_oneof![
        30 => Just(Op::Admit),
        30 => (any::<usize>(), outcome(), any::<bool>(), hint)
            .prop_map(|(which, outcome, slow, hint)| Op::Settle { which, outcome, slow, hint }),
        1 => prop::sample::select(&FORCED[..]).prop_map(Op::Order),
        2 => Just(Op::Reset),
        6 => (0..300u64).prop_map(Op::Advance),
        1 => prop_oneof![1000..100_000u64, Just(999_999_999_989)].prop_map(Op::Advance),
        2 => (0..200u64).prop_map(Op::Back),
        1 => prop_oneof![1000..100_000u64, Just(999_999_999_989)].prop_map(Op::Back),
        6 => Just(Op::ComeBack),
    ]
}

fn share() -> impl Strategy<Value = f64> {
    prop::sample::select(&[0.2, 0.25, 0.5, 0.75, 1.0][..])
}

fn options() -> impl Strategy<Value = Options> {
    let rates = (
        prop::option::weighted(0.7, share()),
        prop::option::of(share()),
    );
    let window = (1..14usize, prop::option::of(1..100u64), 1..8usize);
    let counts = (
        prop::option::of(1..5usize),
        prop::option::of(1..6usize),
        prop::option::of(1..6usize),
        prop::bool::weighted(0.2),
    );
    let probes = (1..6usize, 1..5usize, prop::option::of(share()), 1..200u64);
    let waits = (10..200u64, 1..5u64, prop::option::of(1..400u64));
    (rates, window, counts, waits, probes).prop_filter_map(
        "a rule must be on",
        |((failure_rate, slow_rate), (window, width, minimum), counts, recovery, probes)| {
            let (consecutive, leaky, failure_count, open_on_retry_after) = counts;
            let failure_count = failure_count.map(|count| count.min(window));
            let rates = failure_rate.is_some() || slow_rate.is_some();
            (rates || consecutive.is_some() || leaky.is_some()).then_some(Options {
                failure_rate,
                failure_count,
                open_on_retry_after,
                slow_rate,
                window,
                width: width.map(|width| width * MS),
                minimum,
                consecutive,
                leaky,
                recovery: recovery.0 * MS,
                max_recovery: recovery.0 * recovery.1 * MS,
                slots: probes.0,
                needed: probes.1,
                // Elsewhere it could forgive nothing.
                probe_failure_rate: probes
                    .2
                    .filter(|share| probes.0 > probes.1 && 1.0 / ((probes.1 + 1) as f64) < *share),
                lease: probes.3 * MS,
                ramp: recovery.2.map(|ramp| ramp * MS),
            })
        },
    )
}

fn config(options: &Options) -> CircuitConfig {
    let count = |count: Option<usize>| count.map(|count| count as u32);
    let window = options.window as u32;
    let mut config = CircuitConfig::new()
        .failure_rate(options.failure_rate)
        .minimum_calls(options.minimum as u32)
        .consecutive_failures(count(options.consecutive))
        .leaky_count(count(options.leaky))
        .failure_count(count(options.failure_count))
        .open_on_retry_after(options.open_on_retry_after)
        .recovery_timeout(Duration::from_nanos(options.recovery))
        .max_recovery_timeout(Duration::from_nanos(options.max_recovery))
        .half_open_max_calls(options.slots as u32)
        .success_threshold(options.needed as u32)
        .half_open_failure_rate(options.probe_failure_rate)
        .probe_lease(Duration::from_nanos(options.lease))
        .recovery_ramp(options.ramp.map(Duration::from_nanos));
    if let Some(rate) = options.slow_rate {
        config = config.slow_call_threshold(SECOND).slow_call_rate(rate);
    }
    match options.width {
        None => config.window_calls(window),
        Some(width) => config.window_time(Duration::from_nanos(width) * window, window),
    }
}

/// The circuit and its model, side by side.
struct Pair {
    options: Options,
    circuit: Circuit,
    model: Model,
    now: u64,
    calls: Vec<(Admission, Pass)>,
    come_back: Option<Moment>,
}

impl Pair {
    fn new(options: Options) -> Self {
        Self::begin_at(options, 0)
    }

    /// One that has been through so many generations.
    fn begin_at(options: Options, generation: u64) -> Self {
        let circuit = Circuit::try_new(config(&options)).expect("the options make sense");
        circuit.state.store(generation << 11, Ordering::Relaxed);
        let mut model = Model::new(options.clone());
        model.generation = generation;
        Self {
            options,
            circuit,
            model,
            now: 1 << 50,
            calls: Vec::new(),
            come_back: None,
        }
    }

    fn moment(&self) -> Moment {
        Moment::from_nanos(self.now)
    }

    fn apply(&mut self, op: Op, draw: u64) {
        match op {
            Op::Admit => self.admit(),
            Op::Settle {
                which,
                outcome,
                slow,
                hint,
            } => {
                if !self.calls.is_empty() {
                    let (admission, pass) = self.calls.swap_remove(which % self.calls.len());
                    let settlement = Settlement::new(outcome).slow(slow);
                    self.settle(
                        admission,
                        pass,
                        settlement,
                        hint.map(|hint| hint * MS),
                        draw,
                    );
                }
            }
            Op::Order(state) => {
                self.model.order(state);
                match state {
                    State::ForcedOpen => self.circuit.force_open(),
                    State::ForcedClosed => self.circuit.force_closed(),
                    _ => self.circuit.disable(),
                };
            }
            Op::Reset => {
                self.model.reset();
                self.circuit.reset();
            }
            Op::Advance(ms) => self.now = (self.now + ms * MS).min(1 << 62),
            Op::Back(ms) => self.now = self.now.saturating_sub(ms * MS),
            Op::ComeBack => self.now = self.come_back.map_or(self.now, Moment::as_nanos),
        }
    }

    fn admit(&mut self) {
        let now = self.moment();
        let before = self.model.generation;
        let checked = self.circuit.check(|| now);
        let refused = match (self.circuit.try_admit(|| now), self.model.admit(self.now)) {
            (Ok(admission), Some(pass)) => {
                assert_eq!(admission.is_probe(), pass.probe.is_some());
                let entered = admission.transition().is_some();
                assert_eq!(entered, self.model.generation > before);
                self.calls.push((admission, pass));
                None
            }
            (Err(refusal), None) => Some(refusal),
            (circuit, model) => panic!("{circuit:?}, but {model:?}"),
        };
        if self.model.state == State::Recovering {
            assert_eq!(checked, Ok(()), "which calls pass is decided when they ask");
        } else {
            assert_eq!(checked.err(), refused);
        }
        if let Some(refusal) = refused {
            if let Some(until) = refusal.until {
                assert!(until > now);
            }
            self.come_back = refusal.until;
        }
    }

    fn settle(
        &mut self,
        admission: Admission,
        pass: Pass,
        settlement: Settlement,
        hint: Option<u64>,
        draw: u64,
    ) {
        let (outcome, slow) = (settlement.outcome, settlement.slow);
        let settlement = settlement.retry_after(hint.map(Duration::from_nanos));
        let now = self.moment();
        let changes_nothing = self.circuit.is_settled(&admission);
        let mut transition = None;
        let written = writes(|| {
            transition = self.circuit.settle(admission, settlement, || now, || draw);
        });
        if changes_nothing && outcome == Outcome::Success && !slow {
            assert_eq!((written, transition), (0, None));
        }
        let before = self.model.state;
        let moved = self.model.settle(pass, outcome, slow, hint, self.now);
        assert_eq!(transition.map(|transition| transition.to), moved);
        let Some(transition) = transition else { return };
        assert_eq!(transition.from, before);
        assert_eq!(transition.generation, self.model.generation);
        if moved == Some(State::Closed) && before == State::Recovering {
            assert_eq!(transition.cause, Cause::RampOver);
        }
        if moved == Some(State::Open) {
            let until = transition.until.unwrap().as_nanos();
            if transition.cause == Cause::RetryAfter {
                let asked = hint.unwrap_or(0).min(self.options.max_recovery);
                assert_eq!(until - self.now, asked.max(MS));
            } else {
                self.check_wait(until - self.now, hint);
            }
            self.model.until = until;
        }
    }

    /// The wait is what it should be give or take the jitter, or what the dependency asked for.
    fn check_wait(&self, wait: u64, hint: Option<u64>) {
        let cap = self.options.max_recovery;
        let grown = (1..self.model.trips).fold(self.options.recovery, |wait, _| cap.min(wait * 2));
        let asked = hint.unwrap_or(0).min(cap);
        let (least, most) = (grown - grown / 10, grown + grown / 10);
        let range = least.max(asked).max(MS)..=most.max(asked).max(MS);
        assert!(range.contains(&wait), "{wait} is not in {range:?}");
    }

    fn compare(&self) {
        let now = self.moment();
        let snapshot = self.circuit.snapshot(|| now);
        assert_eq!(snapshot.state, self.model.state);
        assert_eq!(snapshot.generation, self.model.generation);
        assert_eq!(u32::from(snapshot.trips), self.model.trips);
        let last_failure = self.model.last_failure.map(Moment::from_nanos);
        assert_eq!(snapshot.last_failure, last_failure);
        let until = Some(Moment::from_nanos(self.model.until));
        assert_eq!(
            snapshot.until,
            until.filter(|_| self.model.state == State::Open)
        );
        let counts = [
            snapshot.counts.calls,
            snapshot.counts.failures,
            snapshot.counts.slow,
        ];
        let (calls, failures, slow) = self.model.totals(self.now);
        assert_eq!(counts, [calls, failures, slow].map(|count| count as u64));
        let count = |level: Option<crate::circuit::Level>| level.map(|level| level.count as usize);
        let consecutive = self.options.consecutive.map(|_| self.model.consecutive());
        assert_eq!(count(snapshot.consecutive_failures), consecutive);
        assert_eq!(
            count(snapshot.leaky_count),
            self.options.leaky.map(|_| self.model.leaky())
        );
        self.circuit.audit();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn circuit_does_what_its_naive_model_does(
        options in options(),
        ops in prop::collection::vec((op(), any::<u64>()), 1..150),
    ) {
        let mut pair = Pair::new(options);
        for (op, draw) in ops {
            pair.apply(op, draw);
            pair.compare();
        }
    }

    #[test]
    fn circuit_does_so_too_where_the_tags_of_its_words_start_over(
        options in options(),
        // The tags of slots, totals, tally, ring and counts.
        bits in prop::sample::select(&[14, 22, 28, 34, 40][..]),
        before in 0..8_u64,
        ops in prop::collection::vec((op(), any::<u64>()), 1..100),
    ) {
        let mut pair = Pair::begin_at(options, (1 << bits) - before);
        for (op, draw) in ops {
            pair.apply(op, draw);
            pair.compare();
        }
    }

    #[test]
    fn circuit_never_panics_on_any_clock(
        options in options(),
        ops in prop::collection::vec((any::<u64>(), outcome(), any::<bool>()), 1..100),
    ) {
        let circuit = Circuit::try_new(config(&options)).expect("the options make sense");
        let mut calls = Vec::new();
        for (nanos, outcome, hold) in ops {
            let now = Moment::from_nanos(nanos);
            calls.extend(circuit.try_admit(|| now));
            if let Some(call) = if hold { None } else { calls.pop() } {
                circuit.settle(call, Settlement::new(outcome).slow(hold), || now, || nanos);
            }
            let _snapshot = circuit.snapshot(|| now);
        }
    }

    #[test]
    fn circuit_is_never_stuck(
        options in options(),
        ops in prop::collection::vec((op(), any::<u64>()), 1..80),
    ) {
        let mut pair = Pair::new(options);
        for (op, draw) in ops {
            pair.apply(op, draw);
        }
        if matches!(pair.model.state, State::ForcedOpen) {
            return Ok(());
        }
        // Whatever happened, calls that never end and a clock set to anything included: a refusal says when to come back, that is not too far away, then a call passes, and good calls close the circuit.
        let longest = pair.options.max_recovery * 11 / 10;
        let longest = longest.max(pair.options.lease).max(pair.options.ramp.unwrap_or(0));
        let longest = 2 * longest + TICK;
        for _ in 0..20 {
            let call = pair.circuit.try_admit(|| pair.moment()).or_else(|refusal| {
                let until = match refusal.why {
                    // A clock set back by less than a ramp prolongs it by as much.
                    Why::Recovering => pair.now + 2 * pair.options.ramp.unwrap_or(0),
                    _ => refusal.until.expect("it says until when").as_nanos(),
                };
                assert!(until - pair.now <= longest);
                pair.now = until;
                pair.circuit.try_admit(|| pair.moment())
            });
            let call = call.expect("the circuit admits again");
            let now = pair.moment();
            pair.circuit.settle(call, Settlement::new(Outcome::Success), || now, || 0);
            // Near its end a ramp refuses too few to be waited for: calls take time.
            pair.now += pair.options.ramp.unwrap_or(0) / 10;
        }
        let state = pair.circuit.state();
        let is_stuck = matches!(state, State::Open | State::HalfOpen | State::Recovering);
        assert!(!is_stuck, "still {state:?}");
    }
}
