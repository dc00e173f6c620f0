//! The layer on plain services, on HTTP and gRPC, on plain functions, and under the conformance suite.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seaworthy_kit::BoxError;
use seaworthy_kit::testing::{Numbered as Fault, Recorder};
use tower_service::Service;

use crate::{Backoff, Builder, Exhausted, Reason, RetryHandle, RetryLayer};

#[cfg(feature = "http")]
mod bodies;
#[cfg(feature = "http")]
mod body;
mod budget;
mod conformance;
mod cost;
mod drops;
mod handle;
#[cfg(feature = "http")]
mod http;
mod limits;
#[cfg(feature = "http")]
mod numbers;
mod observed;
mod plain;
mod readiness;
#[cfg(feature = "reqwest")]
mod reqwest;
mod stacks;
mod tags;
#[cfg(feature = "http")]
mod unseen;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

type Answer<Res> = Pin<Box<dyn Future<Output = Result<Res, BoxError>> + Send>>;

/// A service that answers by a function of the number of the call; it panics if it is called before it was polled ready.
struct Upstream<Req, Res> {
    shared: Arc<Shared<Req, Res>>,
    is_ready: bool,
}

struct Shared<Req, Res> {
    answer: Box<dyn Fn(u32, Req) -> Answer<Res> + Send + Sync>,
    calls: AtomicU32,
    clones: AtomicU32,
    readiness: Mutex<Readiness>,
}

#[derive(Default)]
struct Readiness {
    pending: bool,
    failing: bool,
    wakers: Vec<Waker>,
}

impl<Req, Res> Upstream<Req, Res> {
    fn new<F, Fut>(answer: F) -> Self
    where
        F: Fn(u32, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Res, BoxError>> + Send + 'static,
    {
        let shared = Shared {
            answer: Box::new(move |number, request| Box::pin(answer(number, request))),
            calls: AtomicU32::new(0),
            clones: AtomicU32::new(0),
            readiness: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            is_ready: false,
        }
    }

    /// A view that is not counted as a clone.
    fn view(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            is_ready: false,
        }
    }

    fn calls(&self) -> u32 {
        self.shared.calls.load(Ordering::SeqCst)
    }

    fn clones(&self) -> u32 {
        self.shared.clones.load(Ordering::SeqCst)
    }

    fn set_pending(&self, pending: bool) {
        let mut readiness = self.shared.readiness.lock().unwrap();
        readiness.pending = pending;
        readiness.wakers.drain(..).for_each(Waker::wake);
    }

    fn fail_readiness(&self) {
        self.shared.readiness.lock().unwrap().failing = true;
    }
}

impl<Req, Res> Clone for Upstream<Req, Res> {
    fn clone(&self) -> Self {
        self.shared.clones.fetch_add(1, Ordering::SeqCst);
        self.view()
    }
}

impl<Req, Res> Service<Req> for Upstream<Req, Res> {
    type Response = Res;
    type Error = BoxError;
    type Future = Answer<Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut readiness = self.shared.readiness.lock().unwrap();
        if readiness.failing {
            return Poll::Ready(Err("broken for good".into()));
        }
        if readiness.pending {
            readiness.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Answer<Res> {
        assert!(std::mem::take(&mut self.is_ready), "called while not ready");
        let number = self.shared.calls.fetch_add(1, Ordering::SeqCst) + 1;
        (self.shared.answer)(number, request)
    }
}

/// Fails every call with its number.
fn failing() -> Upstream<u32, u32> {
    Upstream::new(|number, _| async move { Err(Fault(number).into()) })
}

/// Fails that many calls, then echoes.
fn recovering(failures: u32) -> Upstream<u32, u32> {
    Upstream::new(move |number, request| async move {
        if number <= failures {
            Err(Fault(number).into())
        } else {
            Ok(request)
        }
    })
}

/// Waits of 100 ms, then 200 ms, exactly.
fn exact() -> Backoff {
    Backoff::exponential(100 * MILLI, 2.0, 60 * SECOND)
        .unwrap()
        .jitter(crate::Jitter::None)
}

type Plain = Builder<seaworthy_kit::Plain, seaworthy_kit::Plain>;

fn plain() -> Plain {
    RetryLayer::plain("gateway").backoff(exact())
}

fn exhausted(error: &BoxError) -> (u32, Reason) {
    let exhausted = error.downcast_ref::<Exhausted>().expect("given up");
    (exhausted.attempts(), exhausted.reason())
}

fn fault(error: &(dyn std::error::Error + 'static)) -> Option<u32> {
    Fault::of(error)
}

/// Hears all events of the layer from now on.
fn record(handle: &RetryHandle) -> Recorder {
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    recorder
}
