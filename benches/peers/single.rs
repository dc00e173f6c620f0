//! Retry without a failure, and timeout without a wait.

use std::future::Ready;
use std::time::Duration;

use benches::{Case, drive};
use seatbelt::{RecoveryInfo, ResilienceContext};
use seaworthy::prelude::*;
use tower::retry::{Policy, RetryLayer as TowerRetryLayer};
use tower::timeout::TimeoutLayer as TowerTimeoutLayer;
use tower_layer::Layer;
use tower_resilience_retry::RetryLayer as Resilience;
use tower_resilience_timelimiter::TimeLimiterLayer;

use crate::inner::{Echo, Failed};

/// Tries a failed call three times, as the policies of the others do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thrice(u32);

impl Thrice {
    pub(crate) const NEW: Self = Self(3);
}

impl<Req: Clone, Res, E> Policy<Req, Res, E> for Thrice {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Req, result: &mut Result<Res, E>) -> Option<Self::Future> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

pub(crate) const LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn retry() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let mut tower = TowerRetryLayer::new(Thrice::NEW).layer(Echo);
    let mut resilience = Resilience::<u64, u64, Failed>::builder()
        .build()
        .layer(Echo);
    let clock = tick::Clock::new_tokio();
    let context: ResilienceContext<u64, Result<u64, Failed>> = ResilienceContext::new(&clock);
    let mut seatbelt = seatbelt::retry::Retry::layer("bench", &context)
        .clone_input()
        .recovery_with(|result: &Result<u64, Failed>, _| match result {
            Ok(_) => RecoveryInfo::never(),
            Err(_) => RecoveryInfo::retry(),
        })
        .layer(Echo);
    let mut ours = RetryLayer::plain("bench")
        .build()
        .expect("the defaults are valid")
        .layer(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower", move || drive(&mut tower, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seatbelt", move || drive(&mut seatbelt, 1).is_ok()),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

pub(crate) fn timeout() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let mut tower = TowerTimeoutLayer::new(LIMIT).layer(Echo);
    let mut resilience = TimeLimiterLayer::builder()
        .timeout_duration(LIMIT)
        .build()
        .layer(Echo);
    let clock = tick::Clock::new_tokio();
    let context: ResilienceContext<u64, Result<u64, Failed>> = ResilienceContext::new(&clock);
    let mut seatbelt = seatbelt::timeout::Timeout::layer("bench", &context)
        .timeout(LIMIT)
        .timeout_error(|_| Failed)
        .layer(Echo);
    let mut ours = TimeoutLayer::plain("bench")
        .limit(LIMIT)
        .build()
        .expect("valid options")
        .layer(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower", move || drive(&mut tower, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seatbelt", move || drive(&mut seatbelt, 1).is_ok()),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}
