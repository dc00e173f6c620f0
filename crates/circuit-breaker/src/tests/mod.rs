//! The layer on scripted services and by the conformance suite; the machine has its tests in core.

#[cfg(feature = "http")]
mod bodies;
mod calls;
mod cost;
#[cfg(feature = "http")]
mod http;
mod keyed;
mod listeners;
#[cfg(feature = "metrics")]
mod metrics;
mod options;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seaworthy_kit::testing::{ManualClock, Rejects, conformance};
use seaworthy_kit::{BoxError, Event, Outcome, Plain, Rejection, RejectionKind, Verdict};
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;

conformance! {
    layer: || CircuitBreakerLayer::plain("stock").build().unwrap(),
    readiness: inner,
    errors: unchanged,
    on_drop: cancels,
    held: |layer| layer.handle().snapshot().in_flight,
    events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    refuses: |layer| Opened::new(layer.handle()),
    rejects: Rejects::with(RejectionKind::CircuitOpen, "stock"),
    drains: |layer| layer.handle().drain(),
    observes: |layer, on| layer.handle().control().observe_only(on),
    meddles: |layer, draw| meddle(&layer.handle(), draw),
}

/// What an operator does: forces a state, takes it back, observes, ends a drain.
fn meddle(handle: &CircuitBreakerHandle, draw: u64) {
    match draw % 6 {
        0 => handle.force_open(),
        1 => handle.force_closed(),
        2 => handle.disable(),
        3 => handle.reset(),
        4 => handle.control().enforce_percent((draw / 6 % 101) as u8),
        _ => handle.control().resume(),
    }
}

/// Keeps a circuit open for as long as it lives.
struct Opened(CircuitBreakerHandle);

impl Opened {
    fn new(handle: CircuitBreakerHandle) -> Self {
        handle.force_open();
        Self(handle)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.reset();
    }
}

fn fragile(clock: &ManualClock) -> Builder<Plain> {
    CircuitBreakerLayer::plain("stock")
        .failure_rate(None)
        .consecutive_failures(1)
        .jitter(0.0)
        .half_open_max_calls(1)
        .success_threshold(1)
        .clock(clock.clock())
}

async fn fail(handle: &CircuitBreakerHandle) -> BoxError {
    let result = handle.call(|| async { Err::<(), _>("down") }).await;
    result.unwrap_err()
}

async fn succeed(handle: &CircuitBreakerHandle) -> Result<(), BoxError> {
    handle.call(|| async { Ok::<_, BoxError>(()) }).await
}

#[tokio::test]
async fn failures_open_it_and_a_probe_closes_it() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    fail(&handle).await;
    assert_eq!(handle.state(), State::Open);
    let refusal = succeed(&handle).await.unwrap_err();
    let refusal = Rejection::find(&*refusal).unwrap();
    assert_eq!(refusal.kind(), RejectionKind::CircuitOpen);
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(30)));
    clock.advance(Duration::from_secs(30));
    succeed(&handle).await.unwrap();
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test]
async fn each_transition_is_reported_once() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    let changes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = changes.clone();
    let _listening = handle.subscribe(move |report| {
        if let Event::CircuitChanged {
            from, to, cause, ..
        } = report.event
        {
            seen.lock().unwrap().push((*from, *to, *cause));
        }
    });
    fail(&handle).await;
    clock.advance(Duration::from_secs(30));
    succeed(&handle).await.unwrap();
    handle.force_open();
    handle.reset();
    let changes = changes.lock().unwrap();
    assert_eq!(
        *changes,
        [
            ("closed", "open", "consecutive_failures"),
            ("open", "half_open", "recovery_timeout_over"),
            ("half_open", "closed", "probes_succeeded"),
            ("closed", "forced_open", "forced"),
            ("forced_open", "closed", "reset"),
        ]
    );
}

#[tokio::test]
async fn forced_states_hold_until_reset() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    handle.force_closed();
    fail(&handle).await;
    assert_eq!(handle.state(), State::ForcedClosed);
    handle.disable();
    fail(&handle).await;
    assert_eq!(handle.state(), State::Disabled);
    handle.reset();
    fail(&handle).await;
    assert_eq!(handle.state(), State::Open);
}

#[tokio::test]
async fn observing_reports_refusals_and_lets_calls_pass() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let _listening = handle.subscribe(move |report| {
        if let Event::Refused {
            enforced: false, ..
        } = report.event
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    fail(&handle).await;
    handle.control().observe_only(true);
    succeed(&handle).await.unwrap();
    assert_eq!(refused.load(Ordering::Relaxed), 1);
    handle.control().observe_only(false);
    succeed(&handle).await.unwrap_err();
}

#[tokio::test]
async fn slow_calls_open_it() {
    let clock = ManualClock::new();
    let handle = fragile(&clock)
        .consecutive_failures(None)
        .slow_call_threshold(Duration::from_secs(1))
        .window_calls(2)
        .minimum_calls(2)
        .build()
        .unwrap()
        .handle();
    for _ in 0..2 {
        let late = handle.call(|| async {
            clock.advance(Duration::from_secs(2));
            Ok::<_, BoxError>(())
        });
        late.await.unwrap();
    }
    assert_eq!(handle.state(), State::Open);
}

#[tokio::test]
async fn long_abandoned_call_counts_as_a_failure_only_if_asked() {
    let clock = ManualClock::new();
    let patient = fragile(&clock).build().unwrap().handle();
    let strict = fragile(&clock)
        .abandoned_after(Duration::from_secs(5))
        .build()
        .unwrap()
        .handle();
    for (handle, waited, expected) in [
        (&patient, 60, State::Closed),
        (&strict, 4, State::Closed),
        (&strict, 5, State::Open),
    ] {
        let mut call =
            tokio_test::task::spawn(handle.call(std::future::pending::<Result<(), BoxError>>));
        tokio_test::assert_pending!(call.poll());
        clock.advance(Duration::from_secs(waited));
        drop(call);
        assert_eq!(handle.state(), expected, "{waited} s");
    }
}

#[tokio::test]
async fn closure_classifies() {
    let clock = ManualClock::new();
    let layer = fragile(&clock)
        .traffic(Plain::classify(
            |result: Result<&u32, &BoxError>| match result {
                Ok(500) => Verdict::FAILURE,
                _ => Verdict::SUCCESS,
            },
        ))
        .build()
        .unwrap();
    let mut service = layer.layer(service_fn(async |code: u32| Ok::<_, BoxError>(code)));
    service.ready().await.unwrap().call(200).await.unwrap();
    assert_eq!(layer.handle().state(), State::Closed);
    service.ready().await.unwrap().call(500).await.unwrap();
    assert_eq!(layer.handle().state(), State::Open);
}

#[tokio::test]
async fn hint_of_the_dependency_keeps_it_open_for_longer() {
    let clock = ManualClock::new();
    let layer = fragile(&clock)
        .traffic(Plain::classify(|_: Result<&u32, &BoxError>| {
            Verdict::FAILURE.with_retry_after(Some(Duration::from_secs(120)))
        }))
        .build()
        .unwrap();
    let mut service = layer.layer(service_fn(async |code: u32| Ok::<_, BoxError>(code)));
    service.ready().await.unwrap().call(1).await.unwrap();
    assert_eq!(
        layer.handle().snapshot().until,
        Some(Duration::from_secs(120))
    );
}

#[tokio::test]
async fn ended_calls_are_reported_with_their_outcome() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    let outcomes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = outcomes.clone();
    let _listening = handle.subscribe(move |report| {
        if let Event::Ended { outcome } = report.event {
            seen.lock().unwrap().push(*outcome);
        }
    });
    succeed(&handle).await.unwrap();
    fail(&handle).await;
    assert_eq!(
        *outcomes.lock().unwrap(),
        [Outcome::Success, Outcome::Failure]
    );
}
