//! Circuit breakers: closed, open, measuring, shared by two threads.

use std::sync::Arc;
use std::time::Duration;

use benches::{Case, drive};
use failsafe::CircuitBreaker as _;
use seatbelt::breaker::Breaker;
use seatbelt::{RecoveryInfo, ResilienceContext};
use seaworthy::prelude::*;
use tower_layer::Layer;
use tower_resilience_circuitbreaker::CircuitBreakerLayer as Resilience;

use crate::inner::{Echo, FAIL, Failed};

type Seatbelt = Breaker<u64, Result<u64, Failed>, Echo>;

fn seaworthy() -> CircuitBreakerLayer<seaworthy::Plain> {
    CircuitBreakerLayer::plain("bench")
        .build()
        .expect("the defaults are valid")
}

fn seatbelt() -> Seatbelt {
    let clock = tick::Clock::new_tokio();
    let context: ResilienceContext<u64, Result<u64, Failed>> = ResilienceContext::new(&clock);
    Breaker::layer("bench", &context)
        .recovery_with(|result: &Result<u64, Failed>, _| match result {
            Ok(_) => RecoveryInfo::never(),
            Err(_) => RecoveryInfo::retry(),
        })
        .rejected_input_error(|_, _| Failed)
        .layer(Echo)
}

fn resilience() -> tower_resilience_circuitbreaker::CircuitBreaker<
    Echo,
    tower_resilience_circuitbreaker::DefaultClassifier,
> {
    Resilience::builder()
        .build()
        .expect("the defaults are valid")
        .layer(Echo)
}

pub(crate) fn closed() -> Vec<Case<'static>> {
    let (mut bare, mut resilience, mut seatbelt) = (Echo, resilience(), seatbelt());
    let failsafe = failsafe::Config::new().build();
    let recloser = recloser::Recloser::custom().build();
    let mut ours = seaworthy().layer(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seatbelt", move || drive(&mut seatbelt, 1).is_ok()),
        Case::new("failsafe", move || {
            failsafe.call(|| drive(&mut Echo, 1)).is_ok()
        }),
        Case::new("recloser", move || {
            recloser.call(|| drive(&mut Echo, 1)).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

pub(crate) fn open() -> Vec<Case<'static>> {
    let (mut resilience, mut seatbelt) = (resilience(), seatbelt());
    let failsafe = failsafe::Config::new().build();
    let recloser = recloser::Recloser::custom().build();
    for _ in 0..1000 {
        let _ = drive(&mut resilience, FAIL);
        let _ = drive(&mut seatbelt, FAIL);
        let _ = failsafe.call(|| drive(&mut Echo, FAIL));
        let _ = recloser.call(|| drive(&mut Echo, FAIL));
    }
    let mut ours = seaworthy().layer(Echo);
    for _ in 0..1000 {
        let _ = drive(&mut ours, FAIL);
    }
    assert!(resilience.is_open(), "a thousand failures open it");
    assert!(drive(&mut ours, 1).is_err(), "a thousand failures open it");
    vec![
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seatbelt", move || drive(&mut seatbelt, 1).is_ok()),
        Case::new("failsafe", move || {
            failsafe.call(|| drive(&mut Echo, 1)).is_ok()
        }),
        Case::new("recloser", move || {
            recloser.call(|| drive(&mut Echo, 1)).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

pub(crate) fn slow_rule() -> Vec<Case<'static>> {
    const SLOW: Duration = Duration::from_secs(1);
    let mut bare = Echo;
    let mut resilience = Resilience::builder()
        .slow_call_duration_threshold(SLOW)
        .slow_call_rate_threshold(0.5)
        .build()
        .expect("valid options")
        .layer(Echo);
    let mut ours = CircuitBreakerLayer::plain("bench")
        .slow_call_threshold(SLOW)
        .slow_call_rate(0.5)
        .build()
        .expect("valid options")
        .layer(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

/// One circuit, and for each thread a clone of the service that lives long.
pub(crate) fn two_threads() -> Vec<Case<'static>> {
    let (resilience, seatbelt) = (resilience(), seatbelt());
    let failsafe = failsafe::Config::new().build();
    let recloser = Arc::new(recloser::Recloser::custom().build());
    let ours = seaworthy().layer(Echo);
    vec![
        Case::two_threads("tower-resilience", || {
            let mut service = resilience.clone();
            move || drive(&mut service, 1).is_ok()
        }),
        Case::two_threads("seatbelt", || {
            let mut service = seatbelt.clone();
            move || drive(&mut service, 1).is_ok()
        }),
        Case::two_threads("failsafe", || {
            let breaker = failsafe.clone();
            move || breaker.call(|| drive(&mut Echo, 1)).is_ok()
        }),
        Case::two_threads("recloser", || {
            let breaker = recloser.clone();
            move || breaker.call(|| drive(&mut Echo, 1)).is_ok()
        }),
        Case::two_threads("seaworthy", || {
            let mut service = ours.clone();
            move || drive(&mut service, 1).is_ok()
        }),
    ]
}

/// The service cloned for each call, as axum does.
pub(crate) fn cloned() -> Vec<Case<'static>> {
    let (resilience, seatbelt) = (resilience(), seatbelt());
    let ours = seaworthy().layer(Echo);
    vec![
        Case::two_threads("tower-resilience", || {
            let service = resilience.clone();
            move || drive(&mut service.clone(), 1).is_ok()
        }),
        Case::two_threads("seatbelt", || {
            let service = seatbelt.clone();
            move || drive(&mut service.clone(), 1).is_ok()
        }),
        Case::two_threads("seaworthy", || {
            let service = ours.clone();
            move || drive(&mut service.clone(), 1).is_ok()
        }),
    ]
}
