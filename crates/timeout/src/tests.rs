//! The layers on a scripted inner service, in paused time.

mod conformance;
mod cost;
mod deadline;
mod limits;
mod switches;

#[cfg(feature = "http")]
mod bodies;
#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
mod headers;

use std::time::Duration;

use seaworthy_kit::testing::{Inner, Recorder, Remote};
use seaworthy_kit::{BoxError, Plain, Rejection, RejectionKind, clock};
use tokio_test::task::{self, Spawn};
use tower_layer::Layer;
use tower_service::Service;

use crate::deadline::{Deadline, WithDeadline};
use crate::{Builder, DeadlineLayer, Timeout, TimeoutHandle, TimeoutLayer};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// A layer with a scripted service inside, and what it reported.
struct Test<S> {
    service: S,
    inner: Remote<u32, u32>,
    recorder: Recorder,
}

type Limited = Timeout<Inner<u32, u32>, Plain>;
type Opened = WithDeadline<Inner<u32, u32>, Plain, Plain>;

impl Test<Limited> {
    fn with(build: impl FnOnce(Builder<Plain>) -> Builder<Plain>) -> (Self, TimeoutHandle) {
        let layer = build(TimeoutLayer::plain("slow")).build().unwrap();
        let handle = layer.handle();
        let recorder = Recorder::new();
        handle.subscribe(recorder.listener()).forever();
        let (inner, remote) = Inner::new();
        let test = Self {
            service: layer.layer(inner),
            inner: remote,
            recorder,
        };
        (test, handle)
    }
}

impl Test<Opened> {
    fn opened(layer: &DeadlineLayer<Plain, Plain>) -> Self {
        let recorder = Recorder::new();
        layer.handle().subscribe(recorder.listener()).forever();
        let (inner, remote) = Inner::new();
        Self {
            service: layer.layer(inner),
            inner: remote,
            recorder,
        }
    }
}

impl<S> Test<S>
where
    S: Service<u32, Response = u32, Error = BoxError>,
{
    fn ready(&mut self) {
        let ready = task::spawn(()).enter(|cx, _| self.service.poll_ready(cx).is_ready());
        assert!(ready, "the service is ready");
    }

    /// Makes a call on the service, which is ready.
    fn call(&mut self) -> Spawn<S::Future> {
        self.ready();
        task::spawn(self.service.call(1))
    }
}

fn in_time(time: Duration) -> Deadline {
    Deadline::after(clock::now(), time)
}

fn kind(error: &BoxError) -> RejectionKind {
    let rejection = Rejection::find(&**error).expect("a rejection");
    rejection.kind()
}
