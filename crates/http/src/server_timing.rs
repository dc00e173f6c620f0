//! `Server-Timing`: how long a request waited in front of the handler, and how long the handler took, told to the caller.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response};
use pin_project_lite::pin_project;
use seaworthy_kit::{Clock, Moment};
use tower_layer::Layer;
use tower_service::Service;

/// The field, of the W3C's *Server Timing*, which browsers show beside the request.
pub static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Writes into each response how long its request waited and how long the handler took: `Server-Timing: queue;dur=12.031, handler;dur=3.400`, in milliseconds.
///
/// It takes two of them: [`new`](Self::new) outermost, outside of the edge, and [`handler`](Self::handler) around the handler.
/// What lies between them, above all the queues of bulkheads and limits, is what is left of the whole after the handler.
/// A request that was refused has seen no handler, and so has a `queue` only.
///
/// Time counts from `call` to the head of the response; a body that takes long is not in it.
/// Where handlers lie in each other, as routes in routes, the outermost counts.
/// A field that the handler has written itself stays, in a line of its own.
///
/// It is on nowhere unless you put it there: it tells strangers how busy a server is, and how long it takes to find out something.
/// Errors pass as they are, and are told nothing about.
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
///
/// use http::{Request, Response};
/// use seaworthy_http::ServerTimingLayer;
/// use tokio::time::sleep;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Infallible> {
/// let handler = service_fn(async |_: Request<()>| {
///     sleep(Duration::from_millis(20)).await;
///     Ok::<_, Infallible>(Response::new(()))
/// });
/// // In place of a queue.
/// let queue = tower::layer::layer_fn(|handler| service_fn(move |request| {
///     let handler = ServiceExt::<Request<()>>::boxed_clone(Clone::clone(&handler));
///     async move {
///         sleep(Duration::from_millis(5)).await;
///         handler.oneshot(request).await
///     }
/// }));
/// let server = (ServerTimingLayer::new(), queue, ServerTimingLayer::handler()).layer(handler);
/// let response = server.oneshot(Request::new(())).await?;
/// assert_eq!(response.headers()["server-timing"], "queue;dur=5.000, handler;dur=20.000");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ServerTimingLayer {
    place: Place,
    clock: Clock,
}

/// An inner service whose time is measured. See [`ServerTimingLayer`].
#[derive(Clone)]
pub struct ServerTiming<S> {
    inner: S,
    place: Place,
    clock: Clock,
}

/// Where the layer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// In front of all that makes a request wait.
    Outermost,
    /// Around the handler.
    Handler,
}

/// How long the handler took, on the way from one layer to the other.
#[derive(Clone, Copy, Debug)]
struct Handled(Duration);

// ===== impl ServerTimingLayer =====

impl ServerTimingLayer {
    /// The one outermost, which tells.
    #[must_use]
    pub fn new() -> Self {
        Self {
            place: Place::Outermost,
            clock: Clock::tokio(),
        }
    }

    /// The one around the handler, which measures it and tells the outermost alone.
    #[must_use]
    pub fn handler() -> Self {
        Self {
            place: Place::Handler,
            ..Self::new()
        }
    }

    /// Another clock than tokio's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl Default for ServerTimingLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ServerTimingLayer {
    type Service = ServerTiming<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerTiming {
            inner,
            place: self.place,
            clock: self.clock.clone(),
        }
    }
}

// ===== impl ServerTiming =====

impl<S> ServerTiming<S> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, not measured.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, B> Service<Req> for ServerTiming<S>
where
    S: Service<Req, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let started = self.clock.now();
        ResponseFuture {
            future: self.inner.call(request),
            started,
            place: self.place,
            clock: self.clock.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ServerTiming<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTiming")
            .field("place", &self.place)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response, with its times.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        future: F,
        started: Moment,
        place: Place,
        clock: Clock,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        let whole = this.clock.now().since(*this.started);
        match this.place {
            Place::Handler => {
                let _ = response.extensions_mut().insert(Handled(whole));
            }
            Place::Outermost => {
                let handled = response.extensions_mut().remove();
                let headers = response.headers_mut();
                // A list in several lines is one list, and a full map is no reason to fail a response.
                let _ = headers.try_append(&SERVER_TIMING, field(whole, handled));
            }
        }
        Poll::Ready(Ok(response))
    }
}

/// What the field says.
fn field(whole: Duration, handled: Option<Handled>) -> HeaderValue {
    let value = match handled {
        Some(Handled(handler)) => {
            let queue = whole.saturating_sub(handler);
            format!(
                "queue;dur={}, handler;dur={}",
                Millis(queue),
                Millis(handler)
            )
        }
        None => format!("queue;dur={}", Millis(whole)),
    };
    HeaderValue::try_from(value).expect("digits and names are visible ASCII")
}

/// A duration in milliseconds, to the microsecond.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

#[cfg(test)]
mod tests;
