//! Classifiers that depend on the request, brought to where the response is judged.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tower_http::classify::MakeClassifier;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Makes the classifier of each request, for the layers further out that judge by [`TowerHttp`](super::TowerHttp).
///
/// It stands innermost, and leaves the classifier in the extensions of the response, which costs an allocation.
/// A layer whose [`TowerHttp`](super::TowerHttp) is of the same type uses it instead of its own, which remains for responses that come from elsewhere.
#[derive(Clone, Copy, Default, Debug)]
pub struct ClassifyLayer<M> {
    make: M,
}

/// The service of [`ClassifyLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Classified<S, M> {
    inner: S,
    make: M,
}

/// The classifier of one request, in the extensions of its response.
#[derive(Clone)]
struct Made<C>(C);

/// The classifier that was made for the request of this response.
pub(super) fn made<B, C>(response: &Response<B>) -> Option<&C>
where
    C: Clone + Send + Sync + 'static,
{
    let made = response.extensions().get::<Made<C>>();
    made.map(|made| &made.0)
}

impl<M: MakeClassifier> ClassifyLayer<M> {
    /// Makes classifiers by this.
    pub const fn new(make: M) -> Self {
        Self { make }
    }
}

impl<S, M: Clone> Layer<S> for ClassifyLayer<M> {
    type Service = Classified<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Classified {
            inner,
            make: self.make.clone(),
        }
    }
}

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for Classified<S, M>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    M: MakeClassifier,
    M::Classifier: Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, M::Classifier>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let classifier = Some(self.make.make_classifier(&request));
        ResponseFuture {
            future: self.inner.call(request),
            classifier,
        }
    }
}

pin_project! {
    /// The response future of [`Classified`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        future: F,
        classifier: Option<C>,
    }
}

impl<F, C, B, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    C: Clone + Send + Sync + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut result = ready!(this.future.poll(cx));
        let classifier = this.classifier.take().expect("polled after it was ready");
        if let Ok(response) = &mut result {
            response.extensions_mut().insert(Made(classifier));
        }
        Poll::Ready(result)
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
