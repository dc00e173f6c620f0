//! The layer by the conformance suite, and in paused time; the machine has its tests in core.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::time::Duration;

use seaworthy_kit::testing::{Recorder, Rejects};
use seaworthy_kit::{BoxError, Event, Rejection, RejectionKind, deadline};
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready};

use super::*;

mod cost;
mod waits;

#[cfg(feature = "http")]
mod fields;
#[cfg(feature = "reqwest")]
mod real;

const HOUR: Duration = Duration::from_secs(3600);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Stands still for as long as it lives.
struct Stopped(PaceHandle);

impl Stopped {
    fn new(handle: PaceHandle) -> Self {
        handle.stop(HOUR);
        Self(handle)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.forget();
    }
}

/// What an operator does.
fn meddle(handle: &PaceHandle, draw: u64) {
    match draw % 4 {
        0 => handle.stop(Duration::from_millis(draw / 4 % 1_000)),
        1 => handle.forget(),
        2 => handle.control().enforce_percent((draw / 4 % 101) as u8),
        _ => handle.control().resume(),
    }
}

mod refuses {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || PaceLayer::plain("gateway").max_hint(HOUR).build().unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().held(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| Stopped::new(layer.handle()),
        rejects: Rejects::with(RejectionKind::RateLimited, "gateway").says_when(),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod waiting {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || PaceLayer::plain("gateway").wait(100, HOUR).max_hint(HOUR).build().unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        // Not `held`: a call that waits counts twice. See `calls_that_come_and_go_leave_nothing_behind`.
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        waits: |layer| Stopped::new(layer.handle()),
        drains: |layer| layer.handle().drain(),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

type Call = Spawn<Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>>;

/// A call that is over as soon as it may go.
fn call(handle: &PaceHandle) -> Call {
    let handle = handle.clone();
    task::spawn(Box::pin(async move {
        handle.call(async || Ok::<_, BoxError>(())).await
    }))
}

/// After how long a call that is refused may come back.
fn refused(mut call: Call) -> Duration {
    let error = assert_ready!(call.poll()).unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::RateLimited);
    rejection.retry_after().unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_are_refused_until_the_told_moment() {
    let handle = PaceLayer::plain("gateway").build().unwrap().handle();
    assert_ready!(call(&handle).poll()).unwrap();
    handle.stop(secs(10));
    tokio::time::advance(secs(4)).await;
    assert_eq!(refused(call(&handle)), secs(6));
    assert_eq!(handle.snapshot().stopped_for, Some(secs(6)));
    tokio::time::advance(secs(6)).await;
    assert_ready!(call(&handle).poll()).unwrap();
    assert_eq!(handle.snapshot().stopped_for, None);
}

#[tokio::test(start_paused = true)]
async fn hint_is_clamped_to_the_longest_one() {
    let layer = PaceLayer::plain("gateway").max_hint(secs(7));
    let handle = layer.build().unwrap().handle();
    handle.stop(Duration::MAX);
    assert_eq!(refused(call(&handle)), secs(7));
    let handle = PaceLayer::plain("gateway").build().unwrap().handle();
    handle.stop(HOUR);
    assert_eq!(refused(call(&handle)), secs(60), "the default");
}

#[tokio::test(start_paused = true)]
async fn verdict_that_says_when_to_come_back_is_heeded() {
    use seaworthy_kit::{Plain, Verdict};
    use tower::{Layer, ServiceExt, service_fn};

    let busy = |_: Result<&u32, &BoxError>| Verdict::SUCCESS.with_retry_after(Some(secs(9)));
    let layer = PaceLayer::plain("gateway").traffic(Plain::classify(busy));
    let layer = layer.build().unwrap();
    let service = layer.layer(service_fn(async |_: ()| Ok::<_, BoxError>(1_u32)));
    service.oneshot(()).await.unwrap();
    assert_eq!(layer.handle().snapshot().stopped_for, Some(secs(9)));
}

#[tokio::test(start_paused = true)]
async fn stop_of_one_key_is_not_that_of_another_and_is_not_forgotten() {
    use seaworthy_kit::testing::Inner;
    use tower::{Layer, Service};

    let max_keys = NonZeroUsize::new(2).unwrap();
    let layer = PaceLayer::plain("gateway").keyed(max_keys, |key: &u32| *key);
    let layer = layer.unwrap();
    let (inner, _remote) = Inner::<u32, u32>::new();
    let mut service = layer.layer(inner);
    let mut is_refused = |key| task::spawn(service.call(key)).poll().is_ready();
    PaceHandle::from(layer.handle().get_or_make(&1)).stop(secs(30));
    // Nobody asks for it meanwhile, which would be a reason of its own to keep it.
    for other in 2..20 {
        assert!(!is_refused(other), "{other}");
    }
    assert!(is_refused(1), "still stopped");
}

#[test]
fn impossible_options_are_named_when_the_layer_is_built() {
    let layer = || PaceLayer::plain("gateway");
    let fault = |builder: Builder<_>| builder.build().unwrap_err().option();
    assert_eq!(fault(layer().max_hint(Duration::ZERO)), "max_hint");
    assert_eq!(fault(layer().low(0.0)), "low");
    assert_eq!(fault(layer().low(f64::NAN)), "low");
    let keyed = layer()
        .low(2.0)
        .keyed::<u32, _>(NonZeroUsize::MIN, |key: &u32| *key);
    assert_eq!(keyed.unwrap_err().option(), "low");
}

/// The setter that changes the type of the builder makes a new one: nothing may get lost on the way.
#[tokio::test(start_paused = true)]
async fn setter_that_changes_the_type_keeps_what_was_set() {
    let layer = PaceLayer::plain("gateway")
        .wait(1, secs(5))
        .max_hint(secs(4));
    let layer = layer.low(1.0).traffic(seaworthy_kit::Plain::new());
    let handle = layer.build().unwrap().handle();
    assert_eq!(handle.snapshot().name, "gateway");
    handle.stop(HOUR);
    let mut waits = call(&handle);
    assert_pending!(waits.poll());
    assert_eq!(refused(call(&handle)), secs(4));
}
