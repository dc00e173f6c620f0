//! A body that gives what a test puts into it, and the service that answers with it.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use seaworthy_kit::BoxError;
use tower_service::Service;

/// A body that gives what its [`BodyRemote`] puts into it, and waits where that is nothing.
#[derive(Debug)]
pub struct ScriptedBody {
    remote: BodyRemote,
}

/// The other end of a [`ScriptedBody`].
#[derive(Clone, Default)]
pub struct BodyRemote {
    state: Arc<Mutex<State>>,
}

/// A service that answers each call at once, with the response that was put into it.
#[derive(Clone, Default, Debug)]
pub struct Answers {
    next: Arc<Mutex<Option<Response<ScriptedBody>>>>,
}

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    tells_end: bool,
    hint: SizeHint,
    waker: Option<Waker>,
    polls: usize,
    dropped: bool,
}

enum Step {
    Frame(Frame<Bytes>),
    Error(BoxError),
    Panic,
    End,
}

/// What a scripted panic carries.
pub(super) struct ScriptedPanic;

// ===== impl BodyRemote =====

impl BodyRemote {
    /// The other end of a new body, whose end is not known before it is there.
    #[must_use]
    pub fn new() -> (ScriptedBody, Self) {
        let remote = Self::default();
        let body = ScriptedBody {
            remote: remote.clone(),
        };
        (body, remote)
    }

    /// Lets the body tell its end beforehand: once nothing but the end is left.
    pub fn tell_end(&self) {
        self.lock().tells_end = true;
    }

    /// What the body says about its size from now on.
    pub fn hint(&self, hint: SizeHint) {
        self.lock().hint = hint;
    }

    /// A frame of data.
    pub fn data(&self, data: &'static str) {
        self.step(Step::Frame(Frame::data(Bytes::from_static(
            data.as_bytes(),
        ))));
    }

    /// The trailers.
    pub fn trailers(&self, trailers: HeaderMap) {
        self.step(Step::Frame(Frame::trailers(trailers)));
    }

    /// An error.
    pub fn fail(&self, error: impl Into<BoxError>) {
        self.step(Step::Error(error.into()));
    }

    /// A panic of the body when it is next polled.
    pub fn panic(&self) {
        self.step(Step::Panic);
    }

    /// The end.
    pub fn end(&self) {
        self.step(Step::End);
    }

    /// How often the body was polled.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.lock().polls
    }

    /// Whether the body was dropped.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.lock().dropped
    }

    fn step(&self, step: Step) {
        let waker = {
            let mut state = self.lock();
            state.steps.push_back(step);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BodyRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyRemote").finish_non_exhaustive()
    }
}

// ===== impl ScriptedBody =====

impl ScriptedBody {
    /// A body without anything in it, which says so.
    #[must_use]
    pub fn empty() -> Self {
        let (body, remote) = BodyRemote::new();
        remote.tell_end();
        remote.end();
        body
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.remote.lock();
        state.polls += 1;
        match state.steps.pop_front() {
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Step::Frame(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Step::Error(error)) => Poll::Ready(Some(Err(error))),
            // Past the panic hook: a message of a panic that is meant would hide the one that matters.
            Some(Step::Panic) => std::panic::resume_unwind(Box::new(ScriptedPanic)),
            Some(Step::End) => {
                state.steps.push_back(Step::End);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.remote.lock();
        state.tells_end && matches!(state.steps.front(), Some(Step::End))
    }

    fn size_hint(&self) -> SizeHint {
        self.remote.lock().hint
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.remote.lock().dropped = true;
    }
}

// ===== impl Answers =====

impl Answers {
    /// The next call is answered with this.
    pub fn put(&self, response: Response<ScriptedBody>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(response);
    }
}

impl<B> Service<Request<B>> for Answers {
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = Ready<Result<Response<ScriptedBody>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        ready(next.take().ok_or_else(|| "called once too often".into()))
    }
}
