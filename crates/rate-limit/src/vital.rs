//! What a rate limit says about its own health.

use seaworthy_core::health::Status;
use seaworthy_kit::{Gate, Vital, Vitals};

use crate::gate::RateGate;
use crate::handle::RateLimitHandle;

/// A limit of which a quota is used up warns: `exhausted`. The figure is what is spent of the scarcest quota, and how much there is in its window.
impl Vital for RateGate {
    fn vitals(&self) -> Vitals {
        let telemetry = self.telemetry();
        let vitals = Vitals::new(telemetry.layer(), telemetry.name());
        // By the share that is left; exact enough for a figure.
        let left = |limit: u64, remaining: u64| remaining as f64 / limit.max(1) as f64;
        let scarcest = self.states().min_by(|one, other| {
            left(one.limit, one.remaining).total_cmp(&left(other.limit, other.remaining))
        });
        let Some(state) = scarcest else {
            return vitals;
        };
        let spent = state.limit.saturating_sub(state.remaining);
        let vitals = vitals.value(spent as f64, Some(state.limit as f64));
        if state.remaining == 0 {
            vitals.status(Status::Warn, "exhausted")
        } else {
            vitals
        }
    }
}

impl Vital for RateLimitHandle {
    fn vitals(&self) -> Vitals {
        self.share().vitals()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Quota, RateLimitLayer};

    #[tokio::test(start_paused = true)]
    async fn limit_that_is_used_up_warns() {
        let quota = Quota::per_minute(2);
        let handle = RateLimitLayer::plain("partner").quota(quota).build();
        let handle = handle.expect("valid").handle();
        let call = || handle.call(|| async { Ok::<_, std::io::Error>(()) });
        assert!(call().await.is_ok());
        let vitals = handle.vitals();
        assert_eq!((vitals.layer, vitals.status), ("rate_limit", Status::Pass));
        assert_eq!((vitals.value, vitals.threshold), (Some(1.0), Some(2.0)));
        assert!(call().await.is_ok());
        let vitals = handle.vitals();
        assert_eq!((vitals.status, vitals.state), (Status::Warn, "exhausted"));
    }
}
