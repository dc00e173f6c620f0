//! The circuit with a clock and a voice: what the shared service asks, and where transitions are told.

use std::time::Duration;

use seaworthy_core::circuit::{self, Cause, Circuit, Place, Settlement, Transition, Why};
use seaworthy_core::{Moment, Outcome, show_settled};
use seaworthy_kit::gate::{Grounds, NoWait};
use seaworthy_kit::{Clock, Event, Gate, Refusal, RejectionKind, Telemetry, Verdict};

/// A circuit as the layer holds it.
#[derive(Debug)]
pub struct CircuitGate {
    circuit: Circuit,
    clock: Clock,
    telemetry: Telemetry,
    /// From which age on an abandoned call counts as a failure.
    abandoned_after: Option<Duration>,
    /// Where not all circuits of a keyed layer may refuse at a time.
    place: Option<Place>,
    /// Whether the gauge of the state is this circuit's alone.
    has_gauge: bool,
    /// Whether somebody will ask how long a call took.
    measures: bool,
}

/// The right to make one call through a circuit.
#[derive(Debug)]
pub struct Admission {
    inner: circuit::Admission,
    /// When the call began; [`Moment::NEVER`] where nobody will ask how long it took.
    started: Moment,
}

impl CircuitGate {
    pub(crate) fn new(
        circuit: Circuit,
        clock: Clock,
        telemetry: Telemetry,
        abandoned_after: Option<Duration>,
    ) -> Self {
        Self {
            measures: circuit.needs_duration() || abandoned_after.is_some(),
            circuit,
            clock,
            telemetry,
            abandoned_after,
            place: None,
            has_gauge: false,
        }
    }

    /// Refuses only while there is a place for it.
    pub(crate) fn capped(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Shows its state on the gauge from now on.
    pub(crate) fn with_gauge(mut self) -> Self {
        self.has_gauge = true;
        self.show_state();
        self
    }

    pub(crate) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Reports a transition that this thread made.
    #[inline]
    pub(crate) fn changed(&self, transition: Option<Transition>) {
        if let Some(transition) = transition {
            self.report(transition);
        }
    }

    #[cold]
    fn report(&self, transition: Transition) {
        if self.has_gauge {
            self.show_state();
        }
        if let Some(place) = &self.place
            && !is_refusing(transition.to)
        {
            place.give_back();
        }
        let open_for = transition.until.map(|until| until.since(self.now()));
        self.telemetry.report(&Event::CircuitChanged {
            from: transition.from.name(),
            to: transition.to.name(),
            cause: transition.cause.name(),
            open_for,
        });
    }

    /// Sets the gauge to the state that the circuit is in.
    fn show_state(&self) {
        let instruments = self.telemetry.instruments();
        show_settled(
            || self.circuit.state(),
            |state| instruments.set_circuit_state(number(*state)),
        );
    }

    #[inline]
    fn refusal(&self, refusal: circuit::Refusal, now: Option<Moment>) -> Refusal {
        let grounds = grounds(refusal.why, refusal.cause);
        match refusal.until {
            Some(until) => Refusal::until(grounds, until, now.unwrap_or_else(|| self.now())),
            None => Refusal::because(grounds, None),
        }
    }

    /// Whether the circuit may do what it says: not too many others of its layer refuse already.
    #[inline]
    fn enforces(&self, refusal: circuit::Refusal) -> bool {
        match &self.place {
            Some(place) if refusal.why != Why::ForcedOpen => {
                place.take(|| is_refusing(self.circuit.state()))
            }
            _ => true,
        }
    }

    #[cold]
    fn refuse(
        &self,
        refusal: circuit::Refusal,
        now: Option<Moment>,
    ) -> Result<circuit::Admission, Refusal> {
        let enforces = self.enforces(refusal);
        let refusal = self.refusal(refusal, now);
        if enforces {
            Err(refusal)
        } else {
            self.telemetry.let_through(refusal);
            Ok(circuit::Admission::detached())
        }
    }

    /// Whether an abandoned call of that age is held against the dependency.
    fn outcome(&self, outcome: Outcome, took: Option<Duration>) -> Outcome {
        match (outcome, self.abandoned_after, took) {
            (Outcome::Abandoned, Some(limit), Some(took)) if took >= limit => Outcome::Failure,
            (outcome, _, _) => outcome,
        }
    }
}

impl Gate for CircuitGate {
    type Admission = Admission;
    type Wait = NoWait<Admission>;

    #[inline]
    fn check(&self) -> Result<(), Refusal> {
        if self.circuit.is_closed() {
            return Ok(());
        }
        self.check_not_closed()
    }

    fn try_admit(&self) -> Result<Admission, Refusal> {
        let mut now = None;
        let inner = self
            .circuit
            .try_admit(|| *now.insert(self.now()))
            .or_else(|refusal| self.refuse(refusal, now))?;
        self.changed(inner.transition());
        let started = if self.measures {
            now.unwrap_or_else(|| self.now())
        } else {
            Moment::NEVER
        };
        Ok(Admission { inner, started })
    }

    #[inline(always)]
    fn admit_healthy(&self) -> Option<Admission> {
        if self.measures {
            return None;
        }
        let inner = self.circuit.admit_closed()?;
        let started = Moment::NEVER;
        Some(Admission { inner, started })
    }

    #[inline(always)]
    fn settle(&self, admission: Admission, verdict: Verdict) {
        let Admission { inner, started } = admission;
        let outcome = verdict.settled();
        let healthy = outcome == Outcome::Success && started == Moment::NEVER;
        if !(healthy && self.circuit.is_settled(&inner)) {
            // In parts that fit registers: as wholes they would be written to memory for every call.
            self.settle_counted(inner, started, outcome, verdict.retry_after());
        }
    }

    #[inline]
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// A circuit that is open would come back closed, so it is kept until nobody has asked for it for long.
    fn is_forgettable(&self) -> bool {
        self.circuit.is_forgettable(|| self.now())
    }
}

impl CircuitGate {
    #[cold]
    fn check_not_closed(&self) -> Result<(), Refusal> {
        let mut now = None;
        match self.circuit.check(|| *now.insert(self.now())) {
            Err(refusal) if self.enforces(refusal) => Err(self.refusal(refusal, now)),
            _ => Ok(()),
        }
    }

    /// The end of a call that may change something.
    #[inline(never)]
    fn settle_counted(
        &self,
        admission: circuit::Admission,
        started: Moment,
        outcome: Outcome,
        retry_after: Option<Duration>,
    ) {
        let mut now = None;
        let took = (started != Moment::NEVER).then(|| now.insert(self.now()).since(started));
        let outcome = self.outcome(outcome, took);
        let slow = took.is_some_and(|took| self.circuit.is_slow(took));
        let settlement = Settlement::new(outcome).slow(slow).retry_after(retry_after);
        let transition = self.circuit.settle(
            admission,
            settlement,
            || now.unwrap_or_else(|| self.now()),
            seaworthy_kit::draw,
        );
        self.changed(transition);
    }
}

/// What a refusal in that state says, after a trip by that cause.
const fn grounds(why: Why, cause: Option<Cause>) -> &'static Grounds {
    const CAUSES: usize = Cause::ALL.len();
    static ALL: [[Grounds; CAUSES + 1]; Why::ALL.len()] = {
        let open = Grounds::new(RejectionKind::CircuitOpen);
        let mut all = [[open; CAUSES + 1]; Why::ALL.len()];
        let mut why = 0;
        while why < all.len() {
            let state = Why::ALL[why].name();
            let mut cause = 0;
            while cause < CAUSES {
                all[why][cause] = open.in_state(state, Some(Cause::ALL[cause].name()));
                cause += 1;
            }
            all[why][CAUSES] = open.in_state(state, None);
            why += 1;
        }
        all
    };
    let cause = match cause {
        Some(cause) => cause.index(),
        None => CAUSES,
    };
    &ALL[why.index()][cause]
}

/// Whether a circuit in this state refuses calls by its own decision.
const fn is_refusing(state: circuit::State) -> bool {
    matches!(
        state,
        circuit::State::Open | circuit::State::HalfOpen | circuit::State::Recovering
    )
}

/// The state as the gauge has it.
const fn number(state: circuit::State) -> u8 {
    match state {
        circuit::State::HalfOpen => 1,
        circuit::State::Open => 2,
        circuit::State::ForcedOpen => 3,
        circuit::State::ForcedClosed => 4,
        circuit::State::Disabled => 5,
        circuit::State::Recovering => 6,
        _ => 0,
    }
}
