//! What a circuit says about its own health.

use seaworthy_core::circuit::State;
use seaworthy_core::health::Status;
use seaworthy_kit::{Gate, Vital, Vitals};

use crate::gate::CircuitGate;
use crate::handle::CircuitBreakerHandle;

/// An open circuit fails, one that tries whether it may close warns. The figure is its failures, and how many of them open it.
impl Vital for CircuitGate {
    fn vitals(&self) -> Vitals {
        let seen = self.circuit().snapshot(|| self.now());
        let status = match seen.state {
            State::Open | State::ForcedOpen => Status::Fail,
            State::HalfOpen | State::Recovering => Status::Warn,
            // A closed one is well, and one that an operator keeps closed says nothing.
            _ => Status::Pass,
        };
        let telemetry = self.telemetry();
        let vitals = Vitals::new(telemetry.layer(), telemetry.name());
        let vitals = vitals.status(status, seen.state.name());
        match seen.failures() {
            Some(level) => vitals.value(level.count.into(), Some(level.limit.into())),
            None => vitals.value(seen.counts.slow as f64, None),
        }
    }
}

impl Vital for CircuitBreakerHandle {
    fn vitals(&self) -> Vitals {
        self.share().vitals()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CircuitBreakerLayer;

    #[tokio::test(start_paused = true)]
    async fn open_circuit_fails_until_it_is_closed() {
        let layer = CircuitBreakerLayer::plain("gateway")
            .consecutive_failures(2)
            .build()
            .expect("valid");
        let handle = layer.handle();
        let vitals = handle.vitals();
        assert_eq!(
            (vitals.layer, &*vitals.name),
            ("circuit_breaker", "gateway")
        );
        assert_eq!((vitals.status, vitals.state), (Status::Pass, "closed"));
        assert_eq!((vitals.value, vitals.threshold), (Some(0.0), Some(2.0)));
        for _ in 0..2 {
            let call = handle.call(|| async { Err::<(), _>(std::io::Error::other("down")) });
            assert!(call.await.is_err());
        }
        let vitals = handle.vitals();
        assert_eq!((vitals.status, vitals.state), (Status::Fail, "open"));
        tokio::time::advance(std::time::Duration::from_secs(600)).await;
        let probe = handle.call(|| async {
            assert_eq!(handle.vitals().status, Status::Warn);
            Ok::<_, std::io::Error>(())
        });
        assert!(probe.await.is_ok());
        handle.force_open();
        assert_eq!(handle.vitals().status, Status::Fail);
        handle.disable();
        assert_eq!(handle.vitals().status, Status::Pass);
    }
}
