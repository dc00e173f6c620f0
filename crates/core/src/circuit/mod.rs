//! The circuit: it refuses calls to a dependency that fails, and lets a few through after a while to see whether it has recovered.
//!
//! # How it is driven
//! Four kinds of method, all on `&self`, none of which locks:
//! - questions: [`Circuit::check`] tells whether a call would be refused now, and reserves nothing;
//! - admission: [`Circuit::try_admit`] gives the right to one call, an [`Admission`], or a [`Refusal`] that says until when;
//! - settlement: [`Circuit::settle`] takes the admission back with how the call ended, and returns the [`Transition`] that it caused, if any;
//! - orders of an operator: [`Circuit::force_open`], [`Circuit::force_closed`], [`Circuit::disable`], [`Circuit::reset`].
//!
//! The clock and the random draw are closures, asked only where the decision needs them, and at most once each.
//!
//! # How it decides
//! [`State`] has the diagram.
//! *Closed*, every settled call is counted in each rule that is on, and a bad call that breaks one of them opens the circuit.
//! *Open*, calls are refused until a moment; the first call after it makes the circuit half-open and is itself a probe.
//! *Half-open*, probes lease one of a few slots; the circuit closes after enough successes and reopens as soon as the probes are bad enough, by default at the first failure.
//! *Recovering*, if there is a ramp, a rising share of the calls passes, and they are counted as in the closed state; the first call that ends after the ramp closes the circuit.
//!
//! Ignored and abandoned calls give no verdict.
//! An abandoned call that was slow by then counts as slow: it could only have taken longer.
//!
//! # Generations
//! One atomic word holds state, trips in a row and a *generation*, which each transition raises but the end of a recovery.
//! - A transition is one compare-and-swap of that word, so it has one winner, who alone gets the [`Transition`].
//! - An admission carries its generation, and what it reports in another one is ignored: a slow answer from before a trip neither closes nor reopens the circuit.
//! - All counts are tagged with the generation that wrote them, and those of another one read as empty: a transition clears nothing, and a thread that slept through one spoils nothing.
//!
//! Time, leases and counts live in words of their own.
//! What is said about the order of their loads and stores in comments is explored by loom in `tests/loom_circuit`.
//!
//! # What a call costs
//! Admission in the closed state is one load.
//! Settling a success in a full window without failures and with counts at zero is a few loads: a healthy circuit is never written, so threads that share it do not slow each other down.
//! A window of time is the exception: there each call adds one to the count of its bucket.
//! The clock is read by failures, by slow calls, by every call of a time window, and by calls that find the circuit not closed.
//!
//! # A clock that jumps
//! Ahead: waits and leases end early.
//! Back: a wait or a lease that would then end later than twice its longest possible length from now is over at once, so none is ever waited for longer than that.
//! A recovery ramp is set back with the clock, by its own length at most; further back, it is over.
//!
//! # Example
//! ```
//! use seaworthy_core::circuit::{Circuit, CircuitConfig, Settlement, State};
//! use seaworthy_core::{Moment, Outcome};
//!
//! let circuit = Circuit::try_new(CircuitConfig::new().consecutive_failures(1))?;
//! let now = || Moment::ORIGIN;
//! let admission = circuit.try_admit(now).expect("a new circuit is closed");
//! let failed = Settlement::new(Outcome::Failure);
//! let trip = circuit.settle(admission, failed, now, || 0).expect("one failure was allowed");
//! assert_eq!(trip.to, State::Open);
//! assert_eq!(circuit.try_admit(now).unwrap_err().until, trip.until);
//! # Ok::<(), seaworthy_core::InvalidConfig>(())
//! ```

mod admit;

mod call;
pub use call::{Admission, Cause, Refusal, Settlement, Transition, Why};

mod cap;
pub use cap::{OpenCap, Place};

mod config;
pub use config::{CircuitConfig, WindowKind};

mod counter;

mod lease;

mod orders;

mod probes;
pub use probes::ProbeCounts;

mod ramp;

mod rules;

mod settle;

mod snapshot;
pub use snapshot::{CircuitSnapshot, Level};

mod state;
pub use state::State;

mod wait;

mod window;
pub use window::Counts;

#[cfg(test)]
#[cfg(not(seaworthy_loom))]
mod tests;

use core::time::Duration;

use probes::Probes;
use ramp::Ramp;
use rules::Rules;
use state::Word;
use wait::OpenWait;

use crate::sync::atomic::AtomicU64;
use crate::{InvalidConfig, Moment};

/// A circuit breaker's machine; see the [module](self).
#[derive(Debug)]
pub struct Circuit {
    /// A [`Word`].
    state: AtomicU64,
    /// When the circuit last opened, and until when. Written only by who made it `Opening`, before it is `Open`.
    opened_at: AtomicU64,
    until: AtomicU64,
    /// What opened it, with the generation that began so; written with the two above, and zero before the first time.
    tripped_by: AtomicU64,
    /// The generation whose counts opened it; written with the above.
    counted_in: AtomicU64,
    /// `Moment::NEVER` where no call has failed.
    last_failure: AtomicU64,
    rules: Rules,
    probes: Probes,
    wait: OpenWait,
    ramp: Option<Ramp>,
    slow_call_threshold: Option<Duration>,
    opens_on_retry_after: bool,
}

/// A clock that is asked at most once, and only if needed.
struct Clock<F> {
    ask: Option<F>,
    moment: Moment,
}

// ===== impl Circuit =====

impl Circuit {
    /// A closed circuit.
    ///
    /// # Errors
    /// If an option is out of its range, contradicts another, or if every trip rule is off; the error names the option.
    pub fn try_new(config: CircuitConfig) -> Result<Self, InvalidConfig> {
        Ok(Self {
            state: AtomicU64::new(Word::START.bits()),
            opened_at: AtomicU64::new(0),
            until: AtomicU64::new(0),
            tripped_by: AtomicU64::new(0),
            counted_in: AtomicU64::new(0),
            last_failure: AtomicU64::new(Moment::NEVER.as_nanos()),
            rules: config.rules()?,
            probes: config.probes()?,
            wait: config.wait()?,
            ramp: config.ramp()?,
            slow_call_threshold: config.threshold(),
            opens_on_retry_after: config.opens_on_retry_after(),
        })
    }

    #[inline]
    fn word(&self) -> Word {
        Word::load(&self.state)
    }

    #[inline]
    fn invariants(&self) {
        if cfg!(debug_assertions) {
            self.word().invariants();
        }
    }
}

fn transition(from: Word, to: Word, cause: Cause, until: Option<Moment>) -> Transition {
    Transition {
        from: from.state(),
        to: to.state(),
        cause,
        generation: to.generation(),
        until,
    }
}

// ===== impl Clock =====

impl<F: FnOnce() -> Moment> Clock<F> {
    const fn new(ask: F) -> Self {
        Self {
            ask: Some(ask),
            moment: Moment::ORIGIN,
        }
    }

    fn now(&mut self) -> Moment {
        if let Some(ask) = self.ask.take() {
            self.moment = ask();
        }
        self.moment
    }
}
