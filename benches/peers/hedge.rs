//! Hedging of calls of which none is slow: no hedge is sent.

use std::time::Duration;

use benches::{Case, drive};
use seaworthy::prelude::*;
use tower::hedge::{Hedge as Tower, Policy};
use tower_layer::Layer;
use tower_resilience_hedge::HedgeLayer as Resilience;

use crate::inner::Echo;

/// Hedges all that is slow, as the others do with plain requests.
#[derive(Clone, Copy, Debug)]
struct Always;

impl Policy<u64> for Always {
    fn clone_request(&self, request: &u64) -> Option<u64> {
        Some(*request)
    }

    fn can_retry(&self, _: &u64) -> bool {
        true
    }
}

/// tower and we follow a percentile of the last minute; the delay of tower-resilience is a fixed one.
pub(crate) fn none() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let mut tower = Tower::new(Echo, Always, 100, 0.95, Duration::from_secs(60));
    let resilience = Resilience::builder().delay(Duration::from_secs(10));
    let mut resilience = resilience.max_hedged_attempts(2).build().layer(Echo);
    let layer = HedgeLayer::plain("bench").build();
    let mut ours = layer.expect("the defaults are valid").layer(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower", move || drive(&mut tower, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}
