//! The response of the layer, and what happens when nobody waits for it any more.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use seaworthy_kit::BoxError;
use seaworthy_kit::criticality::{self, Criticality};
use seaworthy_kit::deadline::{self, Deadline};
use tokio::runtime::Handle;
use tower_service::Service;

use crate::phase::Phase;

type Boxed<Out> = Pin<Box<dyn Future<Output = Result<Out, BoxError>> + Send>>;

pin_project! {
    /// The response of the layer.
    ///
    /// # Cancel safety
    /// Dropped before the request is read to its end, or while it waits for another's run, it leaves nothing behind.
    /// Dropped later, what must still happen goes on in a task of its own: the handler to its end, or the one step at the store that ends the run.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, R, Out>
    where
        S: Service<R>,
        Out: Send,
        Out: 'static,
    {
        #[pin]
        state: State<S, R, S::Future, Out, S::Response>,
    }
}

pin_project! {
    #[project = Project]
    enum State<S, R, F, Out, Res>
    where
        Out: Send,
        Out: 'static,
    {
        Readying {
            call: Option<(S, R)>,
            convert: fn(Res) -> Out,
        },
        Passing {
            #[pin]
            future: F,
            convert: fn(Res) -> Out,
        },
        Driven {
            driven: Driven<Out>,
        },
        Refused {
            result: Option<Result<Out, BoxError>>,
        },
    }
}

/// A call with a key, which outlives its caller where it must.
struct Driven<Out: Send + 'static> {
    /// With the call goes what is known of it, and its places: nobody waits until this is dropped.
    call: Option<(Boxed<Out>, Arc<Phase>)>,
    deadline: Option<Deadline>,
    class: Option<Criticality>,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl<S, R, Out> ResponseFuture<S, R, Out>
where
    S: Service<R>,
    Out: Send + 'static,
{
    pub(crate) const fn passing(service: S, request: R, convert: fn(S::Response) -> Out) -> Self {
        Self {
            state: State::Readying {
                call: Some((service, request)),
                convert,
            },
        }
    }

    pub(crate) fn driven(call: Boxed<Out>, phase: Arc<Phase>) -> Self {
        Self {
            state: State::Driven {
                driven: Driven {
                    call: Some((call, phase)),
                    deadline: deadline::current(),
                    class: criticality::current(),
                    #[cfg(feature = "tracing")]
                    span: tracing::Span::current(),
                },
            },
        }
    }

    pub(crate) const fn refused(result: Result<Out, BoxError>) -> Self {
        Self {
            state: State::Refused {
                result: Some(result),
            },
        }
    }
}

impl<S, R, Out> Future for ResponseFuture<S, R, Out>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    Out: Send + 'static,
{
    type Output = Result<Out, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Project::Readying { call, convert } => {
                    let (service, _) = call.as_mut().expect("polled after it was ready");
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        *call = None;
                        return Poll::Ready(Err(error.into()));
                    }
                    let (mut service, request) = call.take().expect("checked above");
                    State::Passing {
                        future: service.call(request),
                        convert: *convert,
                    }
                }
                Project::Passing { future, convert } => {
                    let result = ready!(future.poll(cx));
                    return Poll::Ready(result.map(convert).map_err(Into::into));
                }
                Project::Driven { driven } => return driven.poll(cx),
                Project::Refused { result } => {
                    return Poll::Ready(result.take().expect("polled after it was ready"));
                }
            };
            state.set(next);
        }
    }
}

impl<S, R, Out> fmt::Debug for ResponseFuture<S, R, Out>
where
    S: Service<R>,
    Out: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Readying { .. } => "readying",
            State::Passing { .. } => "passing",
            State::Driven { .. } => "driven",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

// ===== impl Driven =====

impl<Out: Send + 'static> Driven<Out> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Out, BoxError>> {
        // In a local while it runs: a call that panicked must not be polled again, and so not be taken along either.
        let (mut call, phase) = self.call.take().expect("polled after it was ready");
        let polled = call.as_mut().poll(cx);
        if polled.is_pending() {
            self.call = Some((call, phase));
        }
        polled
    }
}

impl<Out: Send + 'static> Drop for Driven<Out> {
    fn drop(&mut self) {
        let Some((call, phase)) = self.call.take() else {
            return;
        };
        // Without a runtime there is nobody to poll it: the record stays until its lease is over.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !phase.leave() {
            return;
        }
        let rest = async move {
            // Nobody waits for the answer.
            drop(call.await);
        };
        let rest = deadline::scope(self.deadline.unwrap_or(Deadline::NEVER), rest);
        let rest = criticality::Scoped::new(self.class, rest);
        #[cfg(feature = "tracing")]
        let rest = tracing::Instrument::instrument(rest, self.span.clone());
        runtime.spawn(rest);
    }
}
