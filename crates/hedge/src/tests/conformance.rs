//! The suite, for a layer that finds nothing worth another try, for one that tries everything again at once, and for one that measures.

use seaworthy_kit::Plain;
use seaworthy_kit::testing::conformance;

use crate::{HedgeHandle, HedgeLayer};

type Layer = HedgeLayer<Plain, Plain>;

fn final_errors() -> Layer {
    HedgeLayer::plain("stock")
        .hedge_error(|_| false)
        .build()
        .unwrap()
}

fn eager() -> Layer {
    HedgeLayer::plain("stock")
        .delay(None)
        .budget(None)
        .build()
        .unwrap()
}

/// What an operator does: switches off and on, observes, enforces in part, ends a drain.
fn meddle(handle: &HedgeHandle, draw: u64) {
    match draw % 3 {
        0 => handle.control().enforce_percent((draw / 3 % 101) as u8),
        1 => handle.set_enabled((draw / 3).is_multiple_of(2)),
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
        errors: unchanged,
        on_drop: cancels,
        handle: Layer,
        meddles: |layer: &Layer, draw| meddle(&layer.handle(), draw),
    }
}
