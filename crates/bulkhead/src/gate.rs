//! The slots with a line and a voice: what the shared services ask.

use seaworthy_core::slots::{Party, Slot};
use seaworthy_kit::gate::Entry;
use seaworthy_kit::line::{Gauges, Line, LineConfig, Lined};
use seaworthy_kit::{
    Criticality, Event, Gate, Held, InvalidConfig, Refusal, RejectionKind, Telemetry, Verdict,
};

use crate::Wait;
use crate::layer::Options;

/// A bulkhead as the layer holds it.
#[derive(Debug)]
pub struct BulkheadGate {
    line: Line,
    options: Options,
    telemetry: Telemetry,
}

impl BulkheadGate {
    pub(crate) fn try_new(
        options: Options,
        telemetry: Telemetry,
        gauges: Gauges,
    ) -> Result<Self, InvalidConfig> {
        let config = LineConfig {
            max_concurrent: options.max_concurrent,
            max_queue: options.max_queue,
            max_wait: options.max_wait,
            delay: None,
            clock: options.clock.clone(),
        };
        let gate = Self {
            line: Line::try_new(config, gauges)?,
            options,
            telemetry,
        };
        gate.line.show_limit(&gate.telemetry);
        Ok(gate)
    }

    pub(crate) fn set_limit(&self, limit: usize) -> Result<(), InvalidConfig> {
        self.line.resize(limit, &self.telemetry)?;
        self.telemetry.report(&Event::LimitChanged { limit });
        Ok(())
    }

    pub(crate) fn publish(&self) {
        self.line.show(&self.telemetry);
        let refusals = [RejectionKind::BulkheadFull, RejectionKind::QueueTimeout];
        // Only those that wait can have waited for too long.
        let refusals = match self.line.max_queue() {
            0 => &refusals[..1],
            _ => &refusals[..],
        };
        self.telemetry.instruments().publish(refusals);
    }
}

impl Lined for BulkheadGate {
    const FULL: RejectionKind = RejectionKind::BulkheadFull;

    #[inline(always)]
    fn line(&self) -> &Line {
        &self.line
    }

    fn seated(&self, slot: Slot, _: Party) -> Slot {
        slot
    }
}

impl Gate for BulkheadGate {
    type Admission = Slot;
    type Wait = Wait;

    #[inline]
    fn check(&self) -> Result<(), Refusal> {
        if self.line.slots().is_full() {
            Err(full())
        } else {
            Ok(())
        }
    }

    #[inline(always)]
    fn admit_healthy(&self) -> Option<Slot> {
        let slot = self.line.slots().try_acquire().ok()?;
        self.line.show(&self.telemetry);
        Some(slot)
    }

    fn try_admit(&self) -> Result<Slot, Refusal> {
        let slot = self.line.slots().try_acquire().map_err(|_| full())?;
        self.line.show(&self.telemetry);
        Ok(slot)
    }

    fn enter(held: &Held<Self>) -> Entry<Self> {
        match held.line.slots().try_acquire() {
            Ok(slot) => {
                held.line.show(&held.telemetry);
                Entry::Admitted(slot)
            }
            // First come first served, whatever the class.
            Err(full) => Line::enter(held, full.seen.waiting, Criticality::default()),
        }
    }

    #[inline(always)]
    fn settle(&self, slot: Slot, _: Verdict) {
        self.line.release(slot, &self.telemetry);
    }

    fn show(&self) {
        self.line.show(&self.telemetry);
    }

    #[inline]
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Not one whose limits were changed: it would come back with those of the builder.
    fn is_forgettable(&self) -> bool {
        self.line.occupancy().limit == self.options.max_concurrent
            && self.line.max_queue() == self.options.max_queue
            && self.line.max_wait() == self.options.max_wait
    }
}

/// Without a queue nobody can tell when a slot will be free: to know how long calls take, each would have to be timed.
const fn full() -> Refusal {
    Refusal::new(RejectionKind::BulkheadFull, None)
}
