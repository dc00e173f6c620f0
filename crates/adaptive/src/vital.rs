//! What an adaptive limit says about its own health, and what a throttle does.

use seaworthy_core::health::Status;
use seaworthy_kit::{Gate, Vital, Vitals};

use crate::fair::{Adapts, FairGate};
use crate::gate::AdaptiveGate;
use crate::handle::AdaptiveHandle;
use crate::throttle::{ThrottleGate, ThrottleHandle};

/// A limit that would refuse the next call warns.
impl Vital for AdaptiveGate {
    fn vitals(&self) -> Vitals {
        self.into()
    }
}

/// Shared by tenants or not, it is the limit that is full.
impl Vital for FairGate {
    fn vitals(&self) -> Vitals {
        self.adaptive().vitals()
    }
}

impl<G: Adapts + Vital> Vital for AdaptiveHandle<G> {
    fn vitals(&self) -> Vitals {
        self.share().vitals()
    }
}

/// A throttle that refuses calls of any class warns: its dependency accepts too few. The figure is the highest probability of a refusal.
impl Vital for ThrottleGate {
    fn vitals(&self) -> Vitals {
        let classes = self.standings();
        let worst = classes.iter().map(|class| class.probability);
        let worst = worst.fold(0.0, f64::max);
        let telemetry = self.telemetry();
        let vitals = Vitals::new(telemetry.layer(), telemetry.name()).value(worst, None);
        if worst > 0.0 {
            vitals.status(Status::Warn, "throttling")
        } else {
            vitals
        }
    }
}

impl Vital for ThrottleHandle {
    fn vitals(&self) -> Vitals {
        self.share().vitals()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdaptiveLayer, ThrottleLayer};

    #[tokio::test]
    async fn full_limit_warns() {
        let layer = AdaptiveLayer::plain("search").min(1).max(1).initial(1);
        let handle = layer.build().expect("valid").handle();
        assert_eq!(handle.vitals().status, Status::Pass);
        let call = handle.call(|| async {
            let vitals = handle.vitals();
            assert_eq!((vitals.status, vitals.state), (Status::Warn, "full"));
            assert_eq!((vitals.value, vitals.threshold), (Some(1.0), Some(1.0)));
            Ok::<_, std::io::Error>(())
        });
        assert!(call.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn throttle_warns_while_it_refuses() {
        let handle = ThrottleLayer::plain("search")
            .build()
            .expect("valid")
            .handle();
        assert_eq!(handle.vitals().status, Status::Pass);
        for _ in 0..200 {
            let call = handle.call(|| async { Err::<(), _>(std::io::Error::other("no")) });
            assert!(call.await.is_err());
        }
        let vitals = handle.vitals();
        assert_eq!((vitals.layer, vitals.status), ("throttle", Status::Warn));
        assert!(vitals.value.is_some_and(|probability| probability > 0.5));
    }
}
