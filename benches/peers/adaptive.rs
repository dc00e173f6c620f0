//! Limits that find themselves, with room: what it costs to count a call and to measure it.

use std::sync::Arc;

use benches::{Case, drive};
use seaworthy::adaptive::{Aimd, Algorithm};
use seaworthy::prelude::*;
use tower::limit::ConcurrencyLimitLayer;
use tower_layer::Layer;
use tower_resilience_adaptive::{AdaptiveService, Aimd as Theirs};

use crate::inner::Echo;

/// tower's limit is the one that somebody has found: the least that any of these can cost.
pub(crate) fn free() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let mut tower = ConcurrencyLimitLayer::new(100).layer(Echo);
    let theirs = Theirs::builder().build().expect("the defaults are valid");
    let mut resilience = AdaptiveService::new(Echo, Arc::new(theirs));
    let mut ours = AdaptiveLayer::plain("bench")
        .algorithm(Algorithm::Aimd(Aimd::new()))
        .build()
        .expect("the defaults are valid")
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
