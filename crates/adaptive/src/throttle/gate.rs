//! Adaptive throttling with a clock and a voice: what the shared service asks.

use std::any::Any;

use seaworthy_core::acceptance::{Acceptance, AcceptanceConfig, Standing};
use seaworthy_core::{Criticality, InvalidConfig, Moment, Outcome};
use seaworthy_kit::gate::NoWait;
use seaworthy_kit::{Clock, Gate, Refusal, RejectionKind, Telemetry, Verdict, criticality};

/// The account of one dependency as the layer holds it.
#[derive(Debug)]
pub struct ThrottleGate {
    acceptance: Acceptance,
    /// The options of the builder.
    built: AcceptanceConfig,
    clock: Clock,
    telemetry: Telemetry,
    /// Asked only while the dependency refuses calls; another one in tests.
    draw: fn() -> u64,
    /// Whether the gauges of the probabilities are this account's alone.
    has_gauges: bool,
}

impl ThrottleGate {
    pub(super) fn new(
        acceptance: Acceptance,
        clock: Clock,
        telemetry: Telemetry,
        draw: fn() -> u64,
    ) -> Self {
        Self {
            built: acceptance.config(),
            acceptance,
            clock,
            telemetry,
            draw,
            has_gauges: false,
        }
    }

    /// Shows the probabilities on the gauges from now on.
    pub(super) fn with_gauges(mut self) -> Self {
        self.has_gauges = true;
        let none = [0.0; Criticality::ALL.len()];
        self.telemetry.instruments().set_throttled(&none);
        self
    }

    #[cfg(test)]
    pub(super) const fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    pub(super) fn config(&self) -> AcceptanceConfig {
        self.acceptance.config()
    }

    pub(super) fn set_config(&self, config: AcceptanceConfig) -> Result<(), InvalidConfig> {
        self.acceptance.set_config(config)
    }

    pub(crate) fn standings(&self) -> [Standing; Criticality::ALL.len()] {
        self.acceptance.standings(self.now())
    }

    #[cold]
    fn weigh(&self, class: Criticality) -> bool {
        let weighed = self.acceptance.weigh(class, self.now(), self.draw);
        if self.has_gauges {
            let instruments = self.telemetry.instruments();
            instruments.set_throttled(&weighed.probabilities);
        }
        weighed.admits
    }

    fn book(&self, admission: &mut Admission, outcome: Outcome) {
        if admission.is_booked {
            return;
        }
        match outcome {
            Outcome::Success => self.acceptance.on_accepted(admission.class, self.now()),
            Outcome::Failure => self.acceptance.on_refused(admission.class, self.now()),
            // It says nothing about what the dependency takes.
            Outcome::Ignored | Outcome::Abandoned => return,
        }
        admission.is_booked = true;
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }
}

/// The right to make one call.
#[derive(Debug)]
pub struct Admission {
    /// In whose account the answer is booked.
    class: Criticality,
    /// Whether it was: with the head of the response, long before the end of its body.
    is_booked: bool,
}

impl Gate for ThrottleGate {
    type Admission = Admission;
    type Wait = NoWait<Admission>;

    /// Which call is refused is drawn when it is made, and a draw is not made twice.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<Admission, Refusal> {
        let class = criticality::current().unwrap_or_default();
        if self.acceptance.is_troubled() && !self.weigh(class) {
            // No time to come back: the next call may pass.
            return Err(Refusal::new(RejectionKind::Shed, None));
        }
        Ok(Admission {
            class,
            is_booked: false,
        })
    }

    /// The head tells whether a call was taken on, and what comes after it how it went: a stream that lasts for hours was accepted at once.
    fn heed(&self, admission: Option<&mut Admission>, _: &dyn Any, verdict: Verdict) {
        if let Some(admission) = admission {
            // A head that leaves it open is the head of an answer: who turns a call away says so in it.
            self.book(admission, verdict.settled());
        }
    }

    fn settle(&self, mut admission: Admission, verdict: Verdict) {
        self.book(&mut admission, verdict.settled());
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Without refusals in the window, what is forgotten makes no difference; options that somebody has set would come back as the builder had them.
    fn is_forgettable(&self) -> bool {
        self.acceptance.is_at_rest(|| self.now()) && self.config() == self.built
    }
}
