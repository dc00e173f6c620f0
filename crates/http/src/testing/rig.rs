//! One layer over a service that answers with a scripted body, and the steps that the rows are made of.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::{Body, Frame};
use seaworthy_core::Outcome;
use seaworthy_kit::BoxError;
use seaworthy_kit::testing::Recorder;
use tokio::runtime::Runtime;
use tokio_test::task::{self, Spawn};
use tower_layer::Layer;
use tower_service::Service;

use super::script::ScriptedPanic;
use super::{Answers, BodyRemote, ScriptedBody};

/// A layer over HTTP that the rows can test.
///
/// Implemented for all of them; the bounds are the rows about auto-traits.
pub trait BodySubjected:
    Layer<
        Answers,
        Service: Service<
            Request<ScriptedBody>,
            Response = Response<Self::Body>,
            Error: Into<BoxError>,
        >,
    >
{
    /// The body that the caller gets.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + Sync + 'static;
}

impl<L, B> BodySubjected for L
where
    L: Layer<Answers>,
    L::Service: Service<Request<ScriptedBody>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + Sync + 'static,
{
    type Body = B;
}

/// What the rows are told about a layer. [`body_conformance!`](crate::testing::body_conformance) makes it.
pub struct BodySubject<L> {
    layer: Box<dyn Fn() -> L>,
    held: Option<Box<dyn Fn(&L) -> usize>>,
    events: Option<Box<dyn Fn(&L, &Recorder)>>,
}

/// One layer over a service that answers with a scripted body.
pub struct BodyRig<'a, L> {
    subject: &'a BodySubject<L>,
    layer: L,
    recorder: Recorder,
}

/// A response whose body the row reads.
pub(super) struct Answer<B> {
    pub(super) body: Spawn<Pin<Box<B>>>,
    pub(super) remote: BodyRemote,
}

/// Runs a row, in a runtime whose time stands still.
pub fn run_body<L>(subject: &BodySubject<L>, row: impl FnOnce(&BodyRig<'_, L>))
where
    L: BodySubjected,
{
    let runtime = runtime();
    let _entered = runtime.enter();
    let layer = (subject.layer)();
    let recorder = Recorder::new();
    if let Some(listen) = &subject.events {
        listen(&layer, &recorder);
    }
    row(&BodyRig {
        subject,
        layer,
        recorder,
    });
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing that can be missing")
}

// ===== impl BodySubject =====

impl<L> BodySubject<L> {
    /// A layer in a state in which it admits a call.
    #[must_use]
    pub fn new(layer: impl Fn() -> L + 'static) -> Self {
        Self {
            layer: Box::new(layer),
            held: None,
            events: None,
        }
    }

    /// How many calls hold something of the layer now.
    #[must_use]
    pub fn held(mut self, held: impl Fn(&L) -> usize + 'static) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    /// Lets the recorder hear of all that happens in the layer.
    #[must_use]
    pub fn events(mut self, listen: impl Fn(&L, &Recorder) + 'static) -> Self {
        self.events = Some(Box::new(listen));
        self
    }
}

impl<L> fmt::Debug for BodySubject<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySubject").finish_non_exhaustive()
    }
}

// ===== impl BodyRig =====

impl<L: BodySubjected> BodyRig<'_, L> {
    /// The head of a response by which it is good.
    pub(super) fn good() -> response::Builder {
        Response::builder()
    }

    /// The head of a response whose end tells.
    pub(super) fn grpc() -> response::Builder {
        Response::builder().header("content-type", "application/grpc")
    }

    /// Makes a call that is answered with this head and a body that the row writes.
    pub(super) fn answer(&self, head: response::Builder) -> Answer<L::Body> {
        self.answer_with(head, |_| {})
    }

    /// As [`answer`](Self::answer), with something done to the body before it is answered with.
    pub(super) fn answer_with(
        &self,
        head: response::Builder,
        prepare: impl FnOnce(&BodyRemote),
    ) -> Answer<L::Body> {
        let (body, remote) = BodyRemote::new();
        prepare(&remote);
        let answers = Answers::default();
        answers.put(head.body(body).expect("the row's head is valid"));
        // The service is gone when the body is read: the call must outlive it.
        let mut service = self.layer.layer(answers);
        let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx).map_err(Into::into));
        assert!(matches!(ready, Poll::Ready(Ok(()))), "it is not ready");
        let call = pin!(service.call(Request::new(ScriptedBody::empty())));
        let response = match task::spawn(call).poll() {
            Poll::Ready(Ok(response)) => response,
            Poll::Ready(Err(error)) => panic!("the call was not answered: {}", error.into()),
            Poll::Pending => panic!("the answer was there, and the call waits"),
        };
        Answer {
            body: task::spawn(Box::pin(response.into_body())),
            remote,
        }
    }

    /// What is held; the row is one about that.
    pub(super) fn assert_held(&self, expected: usize) {
        let held = self.subject.held.as_ref().expect("a row about holding");
        assert_eq!(held(&self.layer), expected, "held by calls");
    }

    /// How the call ended.
    pub(super) fn assert_ended(&self, expected: &[Outcome]) {
        assert_eq!(self.recorder.outcomes(), expected);
    }
}

impl<L> fmt::Debug for BodyRig<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyRig").finish_non_exhaustive()
    }
}

// ===== impl Answer =====

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Answer<B> {
    pub(super) fn poll(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.body.enter(|cx, body| body.poll_frame(cx));
        polled.map_err(Into::into)
    }

    pub(super) fn frame(&mut self) -> Frame<Bytes> {
        match self.poll() {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => panic!("a frame was there, not an error: {error}"),
            Poll::Ready(None) => panic!("a frame was there, not the end"),
            Poll::Pending => panic!("a frame was there"),
        }
    }

    pub(super) fn error(&mut self) -> BoxError {
        match self.poll() {
            Poll::Ready(Some(Err(error))) => error,
            _ => panic!("an error was there"),
        }
    }

    pub(super) fn assert_over(&mut self) {
        assert!(matches!(self.poll(), Poll::Ready(None)), "it has ended");
    }

    /// Polls a body that panics.
    pub(super) fn panics(&mut self) {
        let polled = catch_unwind(AssertUnwindSafe(|| self.poll()));
        let payload = polled.map(|_| ()).expect_err("the body panicked");
        assert!(payload.is::<ScriptedPanic>(), "it was not this panic");
    }
}
