//! The rows of the conformance suite about response bodies.

use seaworthy_http::testing::body_conformance;
use seaworthy_http::{Http, HttpReplay};

use super::*;

type Layer = HedgeLayer<Http, HttpReplay>;

body_conformance! {
    layer: || HedgeLayer::http("gateway").build().unwrap(),
    held: |layer: &Layer| layer.handle().snapshot().in_flight,
    events: |layer: &Layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
}
