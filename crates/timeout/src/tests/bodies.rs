//! The rows of the conformance suite about response bodies, for both layers.

use seaworthy_http::testing::body_conformance;

use super::*;

/// With every limit, so that each pause of a body has a timer.
mod timeout {
    use super::*;

    body_conformance! {
        layer: || {
            let layer = TimeoutLayer::http("slow").body_limit(3600 * SECOND);
            layer.idle(60 * SECOND).build().unwrap()
        },
        held: |layer| layer.handle().snapshot().in_flight,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    }
}

mod with_deadline {
    use super::*;

    body_conformance! {
        layer: || DeadlineLayer::http("in").default_limit(3600 * SECOND).build().unwrap(),
        held: |layer| layer.handle().snapshot().in_flight,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    }
}
