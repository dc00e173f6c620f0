//! What a pace says about its own health.

use seaworthy_core::health::Status;
use seaworthy_kit::{Gate, Vital, Vitals, clock};

use super::{PaceGate, PaceHandle};

/// A pace that stands still, as its server has asked for, warns: `stopped`; one that only spreads its calls does not. The figure is how many calls wait, and how many may.
impl Vital for PaceGate {
    fn vitals(&self) -> Vitals {
        let now = clock::now();
        let telemetry = self.telemetry();
        let vitals = Vitals::new(telemetry.layer(), telemetry.name());
        let mut line = self.line();
        let most = self.most_waiting().map(|most| most as f64);
        let vitals = vitals.value(line.waiting() as f64, most);
        if line.tempo.stopped_until(now).is_some() {
            vitals.status(Status::Warn, "stopped")
        } else if line.tempo.spacing(now).is_some() {
            vitals.status(Status::Pass, "spread")
        } else {
            vitals
        }
    }
}

impl Vital for PaceHandle {
    fn vitals(&self) -> Vitals {
        self.share().vitals()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::PaceLayer;

    #[tokio::test(start_paused = true)]
    async fn pace_that_its_server_has_stopped_warns() {
        let pace = PaceLayer::plain("gateway").wait(2, Duration::from_secs(60));
        let handle = pace.build().expect("valid").handle();
        let vitals = handle.vitals();
        assert_eq!((vitals.layer, &*vitals.name), ("pace", "gateway"));
        assert_eq!((vitals.status, vitals.state), (Status::Pass, "ok"));
        assert_eq!((vitals.value, vitals.threshold), (Some(0.0), Some(2.0)));
        handle.stop(Duration::from_secs(30));
        let waits = handle.clone();
        let call = async move { waits.call(|| async { Ok::<_, std::io::Error>(()) }).await };
        let call = tokio::spawn(call);
        tokio::task::yield_now().await;
        let vitals = handle.vitals();
        assert_eq!((vitals.status, vitals.state), (Status::Warn, "stopped"));
        assert_eq!(vitals.value, Some(1.0));
        assert!(call.await.expect("no panic").is_ok());
        assert_eq!(handle.vitals().status, Status::Pass);
        // Without a line there is nowhere to wait.
        let pace = PaceLayer::plain("gateway").build().expect("valid");
        assert_eq!(pace.handle().vitals().threshold, None);
    }
}
