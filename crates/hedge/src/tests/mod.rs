//! The layer on plain services, on HTTP and gRPC, in numbers, and under the conformance suite.

use std::time::Duration;

use seaworthy_kit::testing::{Exchange, Inner, Numbered as Fault, Recorder, Remote};
use seaworthy_kit::{BoxError, Event};
use tokio_test::task::{self, Spawn};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Builder, Hedge, HedgeHandle, HedgeLayer};

#[cfg(feature = "http")]
mod bodies;
mod conformance;
mod cost;
mod drops;
mod handle;
#[cfg(feature = "http")]
mod http;
mod keyed;
mod limits;
mod numbers;
mod percentile;
mod race;
mod readiness;
#[cfg(feature = "reqwest")]
mod reqwest;
mod stacks;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The delay of most layers here.
const DELAY: Duration = Duration::from_millis(20);

type Plain = Builder<seaworthy_kit::Plain, seaworthy_kit::Plain>;
type PlainHedge = Hedge<Inner<u32, u32>, seaworthy_kit::Plain, seaworthy_kit::Plain>;

/// A layer whose hedges have no limit but the number.
fn plain() -> Plain {
    HedgeLayer::plain("stock")
        .delay(DELAY)
        .budget(None)
        .max_late(None)
}

/// A layer over a scripted service.
struct Rig {
    service: PlainHedge,
    remote: Remote<u32, u32>,
    handle: HedgeHandle,
    recorder: Recorder,
}

type Call = Spawn<<PlainHedge as Service<u32>>::Future>;

impl Rig {
    fn new(builder: Plain) -> Self {
        let layer = builder.build().expect("valid options");
        let (inner, remote) = Inner::new();
        let handle = layer.handle();
        Self {
            service: layer.layer(inner),
            remote,
            recorder: record(&handle),
            handle,
        }
    }

    /// A call, not polled yet.
    fn call(&mut self) -> Call {
        let ready = task::spawn(()).enter(|cx, _| self.service.poll_ready(cx).is_ready());
        assert!(ready, "the scripted service is ready");
        task::spawn(self.service.call(7))
    }

    /// A call that waits, and its first attempt.
    fn waiting(&mut self) -> (Call, Exchange<u32, u32>) {
        let mut call = self.call();
        assert!(call.poll().is_pending());
        (call, self.remote.next_call().expect("the first attempt"))
    }

    /// A call whose delay is over, and its two attempts.
    async fn hedged(&mut self) -> (Call, Exchange<u32, u32>, Exchange<u32, u32>) {
        let (mut call, first) = self.waiting();
        tokio::time::advance(DELAY).await;
        assert!(call.is_woken());
        assert!(call.poll().is_pending());
        let second = self.remote.next_call().expect("the hedge");
        (call, first, second)
    }

    fn hedges(&self) -> u64 {
        self.handle.snapshot().hedges
    }

    /// Why hedges were withheld, in order.
    fn withheld(&self) -> Vec<&'static str> {
        withheld(&self.recorder)
    }
}

fn withheld(recorder: &Recorder) -> Vec<&'static str> {
    let reason = |event| match event {
        Event::HedgeWithheld { reason } => Some(reason),
        _ => None,
    };
    recorder.events().into_iter().filter_map(reason).collect()
}

/// Hears all events of the layer from now on.
fn record(handle: &HedgeHandle) -> Recorder {
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    recorder
}

fn fault(error: &BoxError) -> Option<u32> {
    Fault::of(&**error)
}
