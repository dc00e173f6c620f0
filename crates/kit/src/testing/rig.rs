//! One layer over one inner service, and the steps that the rows are made of.
#![expect(
    clippy::panic_in_result_fn,
    clippy::unused_self,
    reason = "a test fails by a panic, whatever it was about to return; and all steps of a row are methods of the rig"
)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_test::task::{self, Spawn};
use tower_layer::Layer;
use tower_service::Service;

use super::inner::ScriptedPanic;
use super::subject::{OnDrop, Readiness, Subject, Subjected};
use super::{Exchange, Inner, Recorder, Remote};
use crate::BoxError;

/// The service that the layer makes.
pub(crate) type Svc<L, Req, Res> = <L as Layer<Inner<Req, Res>>>::Service;

/// The future of that service.
pub(crate) type Fut<L, Req, Res> = <Svc<L, Req, Res> as Service<Req>>::Future;

/// What that future gives.
pub(crate) type Answered<L, Req, Res> =
    Result<<Svc<L, Req, Res> as Service<Req>>::Response, BoxError>;

/// One layer over one inner service.
pub struct Rig<'a, L, Req, Res> {
    pub(crate) subject: &'a Subject<L, Req, Res>,
    pub(crate) layer: L,
    pub(crate) inner: Inner<Req, Res>,
    pub(crate) remote: Remote<Req, Res>,
    pub(crate) recorder: Recorder,
    runtime: &'a Runtime,
}

/// Runs a row: in a runtime whose time stands still, outside of any task, so that no budget of tokio's makes things pend.
pub fn run<L, Req, Res>(subject: &Subject<L, Req, Res>, row: impl FnOnce(&mut Rig<'_, L, Req, Res>))
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut rig = Rig::new(subject, &runtime);
    row(&mut rig);
    rig.assert_nothing_violated();
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing that can be missing")
}

impl<'a, L, Req, Res> Rig<'a, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    pub(crate) fn new(subject: &'a Subject<L, Req, Res>, runtime: &'a Runtime) -> Self {
        let layer = subject.layer();
        let recorder = Recorder::new();
        subject.listen(&layer, &recorder);
        let (inner, remote) = Inner::new();
        Self {
            subject,
            layer,
            inner,
            remote,
            recorder,
            runtime,
        }
    }

    /// One more service of the layer.
    pub(crate) fn service(&self) -> Svc<L, Req, Res> {
        self.layer.layer(self.inner.clone())
    }

    pub(crate) fn held(&self) -> usize {
        self.subject.count_held(&self.layer)
    }

    /// Polls the service ready, which it must be.
    pub(crate) fn ready(&self, service: &mut Svc<L, Req, Res>) {
        match self.poll_ready(service) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => panic!("the service failed to become ready: {error}"),
            Poll::Pending => panic!("the service is not ready"),
        }
    }

    pub(crate) fn poll_ready(&self, service: &mut Svc<L, Req, Res>) -> Poll<Result<(), BoxError>> {
        task::spawn(()).enter(|cx, _| service.poll_ready(cx).map_err(Into::into))
    }

    /// Makes a call; its future is not polled.
    pub(crate) fn call(&self, service: &mut Svc<L, Req, Res>) -> Spawn<Fut<L, Req, Res>> {
        self.ready(service);
        task::spawn(service.call(self.subject.request()))
    }

    /// Makes a call that runs: it has reached the inner service and waits for its answer.
    pub(crate) fn start(
        &self,
        service: &mut Svc<L, Req, Res>,
    ) -> (Spawn<Fut<L, Req, Res>>, Exchange<Req, Res>) {
        let mut future = self.call(service);
        assert!(
            self.poll(&mut future).is_pending(),
            "the inner service has not answered"
        );
        let exchange = self
            .remote
            .next_call()
            .expect("the call has reached the inner service");
        (future, exchange)
    }

    pub(crate) fn poll(&self, future: &mut Spawn<Fut<L, Req, Res>>) -> Poll<Answered<L, Req, Res>> {
        let first = future.poll();
        let result = match first {
            Poll::Pending if self.subject.on_drop == OnDrop::detaches => {
                self.turn();
                // Where a task of its own has made the call, the future hears of it; one that was made in place is polled once.
                if future.is_woken() {
                    future.poll()
                } else {
                    Poll::Pending
                }
            }
            result => result,
        };
        result.map_err(Into::into)
    }

    /// Polls the future only when it was woken, answers what reaches the inner service, and moves time on when nothing else happens, until the call is over.
    pub(crate) fn drive(
        &self,
        future: &mut Spawn<Fut<L, Req, Res>>,
        mut answer: impl FnMut(Exchange<Req, Res>),
    ) -> Answered<L, Req, Res> {
        let mut must_poll = true;
        for _ in 0..MAX_STEPS {
            if std::mem::take(&mut must_poll) || future.is_woken() {
                if let Poll::Ready(result) = self.poll(future) {
                    return result;
                }
            } else if let Some(exchange) = self.remote.next_call() {
                answer(exchange);
            } else {
                self.advance(Duration::from_secs(1));
            }
        }
        panic!("the call does not end: it lost its wakeup, or wakes itself for nothing");
    }

    /// As [`drive`](Self::drive), with good answers.
    pub(crate) fn drive_to_success(&self, future: &mut Spawn<Fut<L, Req, Res>>) {
        let result = self.drive(future, |exchange| exchange.answer(self.subject.response()));
        if let Err(error) = result {
            panic!("the inner service answered, and the caller got: {error}");
        }
    }

    /// Shows that the layer does its work, on a new service.
    pub(crate) fn assert_usable(&self) {
        self.drive_to_success(&mut self.call(&mut self.service()));
    }

    /// Moves time on, and lets tasks run.
    pub(crate) fn advance(&self, by: Duration) {
        self.runtime.block_on(tokio::time::advance(by));
    }

    /// Lets tasks run, where the layer has any.
    pub(crate) fn turn(&self) {
        if self.subject.on_drop == OnDrop::detaches {
            self.runtime.block_on(async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    pub(crate) fn is_always_ready(&self) -> bool {
        self.subject.readiness == Readiness::always
    }

    /// How many inner services there are beside those of the services given.
    pub(crate) fn assert_at_rest(&self, services: usize) {
        self.turn();
        let counts = self.remote.counts();
        assert_eq!(self.held(), 0, "something is still held");
        assert_eq!(counts.reserved, 0, "an inner service is still reserved");
        assert_eq!(counts.instances, 1 + services, "an inner service was kept");
        assert_eq!(self.remote.running(), 0, "an inner call goes on");
    }

    pub(crate) fn assert_nothing_violated(&self) {
        let violations = self.remote.violations();
        assert!(
            violations.is_empty(),
            "the inner service was {}",
            violations.join(", ")
        );
    }
}

impl<L, Req, Res> fmt::Debug for Rig<'_, L, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rig")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// Runs code that may end in the panic that the inner service was told to; `None` if it did. Other panics go on.
pub(crate) fn catch<R>(function: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(function)) {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<ScriptedPanic>() => None,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// An hour of paused time, and more polls than any honest call needs.
const MAX_STEPS: usize = 4000;
