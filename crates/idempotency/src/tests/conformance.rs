//! The contract of tower, for the layer and for the client's keys.

use seaworthy_kit::RejectionKind;
use seaworthy_kit::testing::{Rejects, conformance};

use super::plain::Distinct;
use super::*;

mod plain_layer {
    use super::*;

    type Handle = IdempotencyHandle<TestStore, exchange::plain::Plain<Distinct, u32, u32>>;

    /// Refuses every call until it is dropped.
    struct Drained(Handle);

    impl Drop for Drained {
        fn drop(&mut self) {
            self.0.resume();
        }
    }

    conformance! {
        layer: || {
            let store = TestStore::default();
            let layer = IdempotencyLayer::plain("once", store, Distinct::new());
            // A renewal polls the handler, too: the rows about polls have none.
            let ages = 365 * 24 * 3600 * SECOND;
            let layer = layer.overdue_runs_again().lease(ages).max_run(ages);
            layer.retention(ages).build().unwrap()
        },
        readiness: always,
        errors: unchanged,
        on_drop: detaches,
        held: |layer| layer.handle().snapshot().in_flight,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| {
            drop(layer.handle().drain());
            Drained(layer.handle())
        },
        rejects: Rejects::with(RejectionKind::Draining, "once"),
        drains: |layer| layer.handle().drain(),
    }
}

mod keys_of_a_client {
    use super::*;

    conformance! {
        layer: KeyLayer::new,
        request: || Request::post("/").body(()).unwrap(),
        response: || 2_u32,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}
