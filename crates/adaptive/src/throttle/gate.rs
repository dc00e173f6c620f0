//! Adaptive throttling with a clock and a voice: what the shared service asks.

use seaworthy_core::acceptance::{Acceptance, Standing};
use seaworthy_core::{Criticality, Moment, Outcome};
use seaworthy_kit::gate::NoWait;
use seaworthy_kit::{Clock, Gate, Refusal, RejectionKind, Telemetry, Verdict, criticality};

/// The account of one dependency as the layer holds it.
#[derive(Debug)]
pub struct ThrottleGate {
    acceptance: Acceptance,
    clock: Clock,
    telemetry: Telemetry,
    /// Asked only while the dependency refuses calls; another one in tests.
    draw: fn() -> u64,
}

impl ThrottleGate {
    pub(super) const fn new(
        acceptance: Acceptance,
        clock: Clock,
        telemetry: Telemetry,
        draw: fn() -> u64,
    ) -> Self {
        Self {
            acceptance,
            clock,
            telemetry,
            draw,
        }
    }

    #[cfg(test)]
    pub(super) const fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    pub(super) fn standings(&self) -> [Standing; Criticality::ALL.len()] {
        self.acceptance.standings(self.now())
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }
}

impl Gate for ThrottleGate {
    /// The class of the call, which is booked in its account when it ends.
    type Admission = Criticality;
    type Wait = NoWait<Criticality>;

    /// Which call is refused is drawn when it is made, and a draw is not made twice.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<Criticality, Refusal> {
        let class = criticality::current().unwrap_or_default();
        if self.acceptance.try_admit(class, || self.now(), self.draw) {
            Ok(class)
        } else {
            // No time to come back: the next call may pass.
            Err(Refusal::new(RejectionKind::Shed, None))
        }
    }

    fn settle(&self, class: Criticality, verdict: Verdict) {
        match verdict.settled() {
            Outcome::Success => self.acceptance.on_accepted(class, self.now()),
            Outcome::Failure => self.acceptance.on_refused(class, self.now()),
            // It says nothing about what the dependency takes.
            Outcome::Ignored | Outcome::Abandoned => {}
        }
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Without refusals in the window, what is forgotten makes no difference.
    fn is_forgettable(&self) -> bool {
        self.acceptance.is_at_rest(|| self.now())
    }
}
