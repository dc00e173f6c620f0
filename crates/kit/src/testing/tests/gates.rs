//! The suite on each of the kit's services, with a counting gate in it.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use crate::gate::Gate;
use crate::keyed::KeyedLayer;
use crate::testing::fixtures::{Closed, DeferredLayer, DetachedLayer, GatedLayer, Limit, Queue};
use crate::testing::{Recorder, Rejects, conformance, occupy};
use crate::{Plain, RejectionKind, Share};

fn listen<G: Gate>(share: &Share<G>, recorder: &Recorder) {
    share.telemetry().subscribe(recorder.listener()).forever();
}

fn meddle<G>(share: &Share<G>, draw: u64) {
    let control = share.control();
    match draw % 8 {
        0 => control.observe_only(true),
        1 => control.enforce_percent((draw >> 8) as u8 % 100),
        2 => control.resume(),
        _ => control.observe_only(false),
    }
}

mod gated {
    use super::*;

    conformance! {
        layer: || GatedLayer(Share::new(Limit::new(8))),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.0.running.load(Ordering::SeqCst).max(layer.0.in_flight()),
        events: |layer, recorder| listen(&layer.0, recorder),
        refuses: |layer| Closed::new(&layer.0),
        rejects: Rejects::with(RejectionKind::BulkheadFull, "pool").says_when(),
        drains: |layer| layer.0.drain(),
        observes: |layer, on| layer.0.control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.0, draw),
    }
}

mod gated_without_room {
    use super::*;

    conformance! {
        layer: || GatedLayer(Share::new(Limit::new(8))),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.0.running.load(Ordering::SeqCst).max(layer.0.in_flight()),
        events: |layer, recorder| listen(&layer.0, recorder),
        refuses: |layer| occupy::<_, u32, u32>(layer, 8),
        rejects: Rejects::with(RejectionKind::BulkheadFull, "pool").says_when(),
    }
}

mod deferred {
    use super::*;

    conformance! {
        layer: || DeferredLayer(Share::new(Limit::new(8))),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.0.running.load(Ordering::SeqCst).max(layer.0.in_flight()),
        events: |layer, recorder| listen(&layer.0, recorder),
        refuses: |layer| Closed::new(&layer.0),
        rejects: Rejects::with(RejectionKind::BulkheadFull, "pool").says_when(),
        drains: |layer| layer.0.drain(),
        observes: |layer, on| layer.0.control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.0, draw),
    }
}

mod detached {
    use super::*;

    conformance! {
        layer: || DetachedLayer(Share::new(Limit::new(8))),
        readiness: always,
        errors: unchanged,
        on_drop: detaches,
        held: |layer| layer.0.running.load(Ordering::SeqCst).max(layer.0.in_flight()),
        events: |layer, recorder| listen(&layer.0, recorder),
        refuses: |layer| Closed::new(&layer.0),
        rejects: Rejects::with(RejectionKind::BulkheadFull, "pool").says_when(),
        drains: |layer| layer.0.drain(),
        observes: |layer, on| layer.0.control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.0, draw),
    }
}

mod queueing {
    use super::*;

    conformance! {
        layer: || DeferredLayer(Share::new(Queue::new(8))),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| (8 - layer.0.slots.available_permits()).max(layer.0.in_flight()),
        events: |layer, recorder| listen(&layer.0, recorder),
        waits: |layer| occupy::<_, u32, u32>(layer, 8),
        drains: |layer| layer.0.drain(),
    }
}

type ByParity = KeyedLayer<Limit, Plain, u32, fn(&u32) -> u32>;

mod keyed {
    use super::*;

    fn layer() -> ByParity {
        let keys = NonZeroUsize::new(4).unwrap();
        KeyedLayer::new(Plain::new(), keys, |request| request % 2, |_| Limit::new(8))
    }

    /// The gate that the requests of the suite meet.
    fn gate(layer: &ByParity) -> Share<Limit> {
        layer.handle().get_or_make(&1)
    }

    conformance! {
        layer: layer,
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| gate(layer).running.load(Ordering::SeqCst).max(gate(layer).in_flight()),
        events: |layer, recorder| listen(&gate(layer), recorder),
        refuses: |layer| Closed::new(&gate(layer)),
        rejects: Rejects::with(RejectionKind::BulkheadFull, "pool").says_when(),
        drains: |layer| gate(layer).drain(),
        observes: |layer, on| gate(layer).control().observe_only(on),
        meddles: |layer, draw| meddle(&gate(layer), draw),
    }
}
