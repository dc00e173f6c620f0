//! The rows of the conformance suite about response bodies.

use seaworthy_http::testing::body_conformance;

use super::*;

body_conformance! {
    layer: || CircuitBreakerLayer::http("stock").build().unwrap(),
    held: |layer| layer.handle().snapshot().in_flight,
    events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
}
