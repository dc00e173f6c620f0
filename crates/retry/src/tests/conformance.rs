//! The suite, for a layer that finds nothing worth another attempt, and for one that tries everything again at once.

use std::time::Duration;

use seaworthy_kit::Plain;
use seaworthy_kit::testing::conformance;

use crate::{Backoff, RetryHandle, RetryLayer};

type Layer = RetryLayer<Plain, Plain>;

fn final_errors() -> Layer {
    RetryLayer::plain("gateway")
        .retry_error(|_| false)
        .build()
        .unwrap()
}

fn eager() -> Layer {
    RetryLayer::plain("gateway")
        .backoff(Backoff::constant(Duration::ZERO))
        .budget(None)
        .build()
        .unwrap()
}

/// What an operator does: observes, enforces in part, ends a drain.
fn meddle(handle: &RetryHandle, draw: u64) {
    match draw % 2 {
        0 => handle.control().enforce_percent((draw / 2 % 101) as u8),
        _ => handle.control().resume(),
    }
}

mod errors_are_final {
    use super::*;

    conformance! {
        layer: final_errors,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        handle: Layer,
        meddles: |layer: &Layer, draw| meddle(&layer.handle(), draw),
    }
}

mod errors_are_tried_again {
    use super::*;

    conformance! {
        layer: eager,
        readiness: inner,
        errors: wrapped,
        on_drop: cancels,
        handle: Layer,
        meddles: |layer: &Layer, draw| meddle(&layer.handle(), draw),
    }
}
