//! The rows of the conformance suite about response bodies.

use seaworthy_http::Http;
use seaworthy_http::testing::body_conformance;

use super::*;

body_conformance! {
    // The suite's events are told by the default classifier.
    layer: || builder().traffic(Http::new()).build().unwrap(),
    held: |layer| layer.handle().snapshot().in_flight,
    events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
}
