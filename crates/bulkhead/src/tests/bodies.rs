//! The rows of the conformance suite about response bodies.

use seaworthy_http::testing::body_conformance;

use super::*;

mod sheds {
    use super::*;

    body_conformance! {
        layer: || BulkheadLayer::http("reports").build().unwrap(),
        held: |layer| layer.handle().snapshot().running,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    }
}

mod queues {
    use super::*;

    body_conformance! {
        layer: || BulkheadLayer::http("reports").queue(8, Duration::MAX).build().unwrap(),
        held: |layer| layer.handle().snapshot().running,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    }
}
