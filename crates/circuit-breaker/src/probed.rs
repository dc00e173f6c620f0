//! A circuit that is fed by checks of its dependency.

use seaworthy_core::circuit::State;
use seaworthy_kit::probed::{Probed, Probing};

use crate::handle::CircuitBreakerHandle;

impl Probed for CircuitBreakerHandle {
    fn probe(&self, probe: Probing) -> Probing {
        let handle = self.clone();
        Box::pin(async move { handle.call(|| probe).await })
    }

    fn close(&self) {
        if matches!(self.state(), State::Open | State::HalfOpen) {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use seaworthy_kit::Rejection;

    use super::*;
    use crate::CircuitBreakerLayer;

    #[tokio::test(start_paused = true)]
    async fn probe_is_a_call_and_forced_circuits_stay_forced() {
        let layer = CircuitBreakerLayer::plain("stock").consecutive_failures(2);
        let handle = layer.build().expect("valid").handle();
        let fails = || handle.probe(Box::pin(async { Err("down".into()) }));
        for _ in 0..2 {
            assert!(fails().await.is_err());
        }
        assert_eq!(handle.state(), State::Open);
        let refused = fails().await.expect_err("it is open");
        assert!(Rejection::find(&*refused).is_some());
        handle.close();
        assert_eq!(handle.state(), State::Closed);
        handle.force_open();
        handle.close();
        assert_eq!(handle.state(), State::ForcedOpen);
    }
}
