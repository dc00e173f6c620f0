//! The contract of tower, for both layers.

use seaworthy_kit::testing::{Rejects, conformance};

use super::*;

/// Leaves no time for any call until it is dropped.
struct NoTime<F: Fn(Duration)>(F);

impl<F: Fn(Duration)> NoTime<F> {
    fn new(set: F) -> Self {
        set(Duration::ZERO);
        Self(set)
    }
}

impl<F: Fn(Duration)> Drop for NoTime<F> {
    fn drop(&mut self) {
        (self.0)(Duration::MAX);
    }
}

mod timeout {
    use super::*;

    /// An operator changes limits, switches to observing, and drains.
    fn meddle(handle: &TimeoutHandle, draw: u64) {
        match draw % 6 {
            0 => handle.set_limit(MILLI * (draw / 6 % 50) as u32),
            1 => handle.set_limit(30 * SECOND),
            2 => handle.set_body_limit(MILLI * (draw / 6 % 50) as u32),
            3 => handle.set_body_limit(Duration::MAX),
            4 => handle.control().enforce_percent((draw / 6 % 101) as u8),
            _ => handle.control().resume(),
        }
    }

    conformance! {
        layer: || TimeoutLayer::plain("slow").build().unwrap(),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().snapshot().in_flight,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| {
            let handle = layer.handle();
            NoTime::new(move |limit| handle.set_limit(limit))
        },
        rejects: Rejects::with(RejectionKind::DeadlineExceeded, "slow"),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod with_deadline {
    use super::*;
    use crate::deadline::DeadlineHandle;

    fn meddle(handle: &DeadlineHandle, draw: u64) {
        match draw % 5 {
            0 => handle.set_max(MILLI * (draw / 5 % 50) as u32),
            1 => handle.set_max(Duration::MAX),
            2 => handle.set_default_limit(MILLI * (draw / 5 % 50) as u32),
            3 => handle.control().enforce_percent((draw / 5 % 101) as u8),
            _ => handle.control().resume(),
        }
    }

    conformance! {
        layer: || DeadlineLayer::plain("in").default_limit(3600 * SECOND).build().unwrap(),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().snapshot().in_flight,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| {
            let handle = layer.handle();
            NoTime::new(move |limit| handle.set_max(limit))
        },
        rejects: Rejects::with(RejectionKind::DeadlineExceeded, "in"),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}
