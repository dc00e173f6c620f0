//! The rows of the conformance suite about response bodies.

use seaworthy_http::testing::body_conformance;

use super::*;

/// With the classifier that the suite expects: the layer's own ignores mistakes of the caller's.
fn reports() -> Builder<seaworthy_http::Http> {
    AdaptiveLayer::http("reports").traffic(seaworthy_http::Http::new())
}

mod sheds {
    use super::*;

    body_conformance! {
        layer: || reports().build().unwrap(),
        held: |layer| layer.handle().snapshot().running,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    }
}

mod queues {
    use super::*;

    body_conformance! {
        layer: || reports().queue(8).build().unwrap(),
        held: |layer| layer.handle().snapshot().running,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    }
}
