//! Bulkheads: with room, and full.

use std::future::Future;
use std::task::{Context, Waker};

use benches::{Case, drive};
use seaworthy::prelude::*;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower_layer::Layer;
use tower_resilience_bulkhead::BulkheadLayer as Resilience;
use tower_service::Service;

use crate::inner::{Echo, Silent};

pub(crate) fn free() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let mut tower = ConcurrencyLimitLayer::new(100).layer(Echo);
    let mut resilience = Resilience::builder()
        .max_concurrent_calls(100)
        .build()
        .expect("valid options")
        .layer(Echo);
    let mut ours = BulkheadLayer::plain("bench")
        .max_concurrent(100)
        .build()
        .expect("valid options")
        .layer(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower", move || drive(&mut tower, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

pub(crate) fn full() -> Vec<Case<'static>> {
    let mut tower = LoadShedLayer::new().layer(ConcurrencyLimitLayer::new(1).layer(Silent));
    occupy(&mut tower);
    // Its own refusal waits for a timer of zero, which asks for a runtime that runs; shedding what is not ready does not.
    let resilience = Resilience::builder()
        .max_concurrent_calls(1)
        .backpressure()
        .build()
        .expect("valid options");
    let mut resilience = LoadShedLayer::new().layer(resilience.layer(Silent));
    occupy(&mut resilience);
    let mut ours = BulkheadLayer::plain("bench")
        .max_concurrent(1)
        .build()
        .expect("valid options")
        .layer(Silent);
    occupy(&mut ours);
    vec![
        Case::new("tower", move || drive(&mut tower, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

/// Makes a call that never ends.
fn occupy<S: Service<u64>>(service: &mut S) {
    let mut cx = Context::from_waker(Waker::noop());
    let ready = service.poll_ready(&mut cx);
    assert!(ready.is_ready(), "a new bulkhead has room");
    let mut response = Box::pin(service.call(1));
    assert!(response.as_mut().poll(&mut cx).is_pending(), "it is silent");
    // Lives as long as the process, as the place that it holds.
    Box::leak(Box::new(response));
}
