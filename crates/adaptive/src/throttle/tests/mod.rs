//! The layer by the conformance suite and on functions in paused time; the machine has its tests in core.

use std::cell::Cell;
use std::time::Duration;

use seaworthy_kit::Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};
use seaworthy_kit::criticality::scope;
use seaworthy_kit::testing::Rejects;
use seaworthy_kit::{BoxError, Criticality, Plain, Rejection, RejectionKind};
use tokio::time::advance;

use super::*;

#[cfg(feature = "http")]
mod bodies;
mod calls;
mod cost;
#[cfg(feature = "http")]
mod http;
mod keyed;
#[cfg(feature = "metrics")]
mod metrics;

thread_local! {
    static DRAW: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// What the gates of these tests draw: a call that may be refused is, or is not.
fn draw() -> u64 {
    DRAW.get()
}

fn refused_where_possible(on: bool) {
    DRAW.set(if on { 0 } else { u64::MAX });
}

fn builder() -> Builder<Plain> {
    ThrottleLayer::plain("search").min_requests(0).draw(draw)
}

fn throttle() -> ThrottleHandle {
    builder().build().unwrap().handle()
}

/// Makes each call refused, by a dependency that accepts nothing, for as long as it lives.
struct Overloaded;

impl Overloaded {
    fn new(handle: &ThrottleHandle) -> Self {
        let now = seaworthy_kit::clock::now();
        for class in Criticality::ALL {
            handle.gate().acceptance().on_refused(class, now);
        }
        refused_where_possible(true);
        Self
    }
}

impl Drop for Overloaded {
    fn drop(&mut self) {
        refused_where_possible(false);
    }
}

/// What an operator does: observes, ends a drain.
fn meddle(handle: &ThrottleHandle, draw: u64) {
    match draw % 4 {
        0 => refused_where_possible((draw / 4).is_multiple_of(2)),
        1 => drop(Overloaded::new(handle)),
        2 => handle.control().enforce_percent((draw / 4 % 101) as u8),
        _ => handle.control().resume(),
    }
}

mod contract {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || builder().build().unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().snapshot().in_flight,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| Overloaded::new(&layer.handle()),
        rejects: Rejects::with(RejectionKind::Shed, "search"),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

async fn accepted(handle: &ThrottleHandle) -> Result<(), BoxError> {
    handle.call(|| async { Ok::<_, BoxError>(()) }).await
}

async fn not_accepted(handle: &ThrottleHandle) -> BoxError {
    let result = handle.call(|| async { Err::<(), _>("too much") }).await;
    result.unwrap_err()
}

fn is_shed(error: &BoxError) -> bool {
    Rejection::find(&**error).is_some_and(|rejection| rejection.kind() == RejectionKind::Shed)
}

/// Requests, accepts and calls refused here.
fn counts(handle: &ThrottleHandle, class: Criticality) -> (u64, u64, u64) {
    let standing = handle.snapshot().classes[class.index()];
    assert_eq!(standing.class, class);
    let counts = standing.counts;
    (counts.requests, counts.accepts, counts.throttled)
}
