//! The circuit one behaviour at a time, against its table of transitions, and against a naive model.

mod clock;
mod config;
mod half_open;
mod healthy;
mod model;
mod panics;
mod ramp;
mod random;
mod stress;
mod table;
mod window;

use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use super::{Admission, Circuit, CircuitConfig, Refusal, Settlement, State, Transition};
use crate::{Moment, Outcome};

const SECOND: Duration = Duration::from_secs(1);

/// A circuit with a clock at hand that counts how often it is read.
struct Test {
    circuit: Circuit,
    now: Cell<Moment>,
    reads: Cell<u32>,
}

impl Test {
    fn new(config: CircuitConfig) -> Self {
        let circuit = Circuit::try_new(config).expect("the configuration is valid");
        Self {
            circuit,
            now: Cell::new(Moment::ORIGIN + 1000 * SECOND),
            reads: Cell::new(0),
        }
    }

    fn read(&self) -> Moment {
        self.reads.set(self.reads.get() + 1);
        self.now.get()
    }

    fn advance(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    fn admit(&self) -> Result<Admission, Refusal> {
        self.circuit.try_admit(|| self.read())
    }

    /// Settles with a draw that jitters nothing.
    fn settle(&self, call: Admission, settlement: impl Into<Settlement>) -> Option<Transition> {
        self.circuit
            .settle(call, settlement.into(), || self.read(), || u64::MAX / 2)
    }

    /// One call from beginning to end, which must be admitted.
    fn call(&self, settlement: impl Into<Settlement>) -> Option<Transition> {
        let call = self.admit().expect("the call is admitted");
        self.settle(call, settlement)
    }

    fn calls(&self, number: usize, outcome: Outcome) {
        for _ in 0..number {
            self.call(outcome);
        }
    }

    fn state(&self) -> State {
        self.circuit.state()
    }
}

/// Opens at the first failure, for ten seconds, and closes at the first success.
fn brittle() -> CircuitConfig {
    CircuitConfig::new()
        .failure_rate(None)
        .consecutive_failures(1)
        .recovery_timeout(10 * SECOND)
        .half_open_max_calls(1)
        .success_threshold(1)
}

fn slow(outcome: Outcome) -> Settlement {
    Settlement::new(outcome).slow(true)
}
