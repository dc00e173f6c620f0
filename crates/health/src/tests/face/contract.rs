//! The layer by the conformance suite.

use super::*;

fn fresh() -> HealthLayer {
    let health = Health::builder("x").build().unwrap();
    HealthLayer::http(&health).build().unwrap()
}

seaworthy_kit::testing::conformance! {
    layer: fresh,
    request: || Request::new(()),
    response: || Response::new(Plain::new()),
    readiness: always,
    errors: unchanged,
    on_drop: cancels,
}
