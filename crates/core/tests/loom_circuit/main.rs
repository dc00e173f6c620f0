//! The circuit under every interleaving of its atomics, as far as loom explores them.
//!
//! Run with `RUSTFLAGS="--cfg seaworthy_loom" cargo test -p seaworthy-core --test loom_circuit --release`.
#![cfg(seaworthy_loom)]

mod probes;
mod recovery;
mod transitions;
mod windows;

use core::time::Duration;

use loom::sync::Arc;
use loom::thread;
use seaworthy_core::circuit::{
    Admission, Circuit, CircuitConfig, Settlement, State, Transition, Why,
};
use seaworthy_core::{Moment, Outcome};

const SECOND: Duration = Duration::from_secs(1);

fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn at(seconds: u32) -> Moment {
    Moment::ORIGIN + seconds * SECOND
}

/// Opens for ten seconds at the first failure, without jitter.
fn brittle() -> CircuitConfig {
    CircuitConfig::new()
        .failure_rate(None)
        .consecutive_failures(1)
        .recovery_timeout(10 * SECOND)
        .recovery_factor(1.0)
        .jitter(0.0)
        .half_open_max_calls(1)
        .success_threshold(1)
}

fn build(config: CircuitConfig) -> Arc<Circuit> {
    Arc::new(Circuit::try_new(config).expect("the configuration is valid"))
}

fn settle(circuit: &Circuit, call: Admission, outcome: Outcome, now: u32) -> Option<Transition> {
    circuit.settle(call, Settlement::new(outcome), || at(now), || 0)
}

/// A circuit that tripped at second zero and may probe from second ten on.
fn tripped(config: CircuitConfig) -> Arc<Circuit> {
    let circuit = build(config);
    let call = circuit
        .try_admit(|| at(0))
        .expect("a new circuit is closed");
    settle(&circuit, call, Outcome::Failure, 0).expect("the first failure trips");
    circuit
}

/// One that is half-open since second ten, and its first probe.
fn probing(config: CircuitConfig) -> (Arc<Circuit>, Admission) {
    let circuit = tripped(config);
    let probe = circuit.try_admit(|| at(10)).expect("its time is over");
    (circuit, probe)
}
