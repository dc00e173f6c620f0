//! What a retry layer says about its own health.

use seaworthy_core::Throttle;
use seaworthy_core::health::Status;
use seaworthy_kit::{Gate, Vital, Vitals};

use crate::gate::RetryGate;
use crate::handle::RetryHandle;

/// A layer that would send no call again warns: `exhausted` where its budget is spent, `throttled` where its tokens say so. The figure is the share of the budget that is spent.
///
/// So many calls fail then that trying again makes it worse.
impl Vital for RetryGate {
    fn vitals(&self) -> Vitals {
        let now = self.clock.now();
        let telemetry = self.telemetry();
        let mut vitals = Vitals::new(telemetry.layer(), telemetry.name());
        if let Some(budget) = &self.budget {
            let is_spent = budget.is_spent(now);
            // Of nothing, nothing is left either.
            let left = budget.remaining_ratio(now);
            let spent = if is_spent || left > 0.0 {
                1.0 - left
            } else {
                0.0
            };
            vitals = vitals.value(spent, Some(1.0));
            if is_spent {
                return vitals.status(Status::Warn, "exhausted");
            }
        }
        let throttles = |throttle: &Throttle| !throttle.allows_retry();
        if self.throttle.as_ref().is_some_and(throttles) {
            return vitals.status(Status::Warn, "throttled");
        }
        vitals
    }
}

impl Vital for RetryHandle {
    fn vitals(&self) -> Vitals {
        self.share().vitals()
    }
}
