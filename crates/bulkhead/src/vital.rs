//! What a bulkhead says about its own health.

use seaworthy_kit::{Vital, Vitals};

use crate::gate::BulkheadGate;
use crate::handle::BulkheadHandle;

/// A bulkhead that would refuse the next call warns.
impl Vital for BulkheadGate {
    fn vitals(&self) -> Vitals {
        self.into()
    }
}

impl Vital for BulkheadHandle {
    fn vitals(&self) -> Vitals {
        self.share().vitals()
    }
}

#[cfg(test)]
mod tests {
    use seaworthy_core::health::Status;

    use super::*;
    use crate::BulkheadLayer;

    #[tokio::test]
    async fn full_bulkhead_warns() {
        let layer = BulkheadLayer::plain("database").max_concurrent(1);
        let handle = layer.build().expect("valid").handle();
        let vitals = handle.vitals();
        assert_eq!((vitals.layer, &*vitals.name), ("bulkhead", "database"));
        assert_eq!((vitals.status, vitals.value), (Status::Pass, Some(0.0)));
        let call = handle.call(|| async {
            let vitals = handle.vitals();
            assert_eq!((vitals.status, vitals.state), (Status::Warn, "full"));
            assert_eq!((vitals.value, vitals.threshold), (Some(1.0), Some(1.0)));
            Ok::<_, std::io::Error>(())
        });
        assert!(call.await.is_ok());
    }

    #[tokio::test]
    async fn bulkhead_with_room_in_its_queue_is_well() {
        let layer = BulkheadLayer::plain("database").max_concurrent(1);
        let layer = layer.queue(1, std::time::Duration::from_secs(1));
        let handle = layer.build().expect("valid").handle();
        let call = handle.call(|| async {
            let vitals = handle.vitals();
            assert_eq!((vitals.status, vitals.state), (Status::Pass, "queueing"));
            Ok::<_, std::io::Error>(())
        });
        assert!(call.await.is_ok());
    }
}
