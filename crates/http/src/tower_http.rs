//! The classifiers of tower-http as classifiers of ours, to the end of the stream.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ::tower_http::classify::{
    ClassifiedResponse, ClassifyEos, ClassifyResponse, MakeClassifier, SharedClassifier,
};
use http::response::Parts;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use seaworthy_kit::verdict::{classify_error, classify_rejection};
use seaworthy_kit::{BoxError, Classify, ErrorsAsFailures, Settle, Traffic, Verdict};

use crate::body::GuardedBody;
use crate::classify::hinted;
use crate::grpc;
use crate::traffic::show_head;

mod make;
pub use make::{Classified, ClassifyLayer, ResponseFuture};

/// HTTP and gRPC, as a [`ClassifyResponse`] of tower-http judges them: `XLayer::http(..).traffic(TowerHttp::new(classifier))`.
///
/// Whatever class of failure it finds is a failure, and every error is one; what needs the end of the stream is asked there.
/// A refusal by a layer further in is never put to it: that is ignored, and a timeout is a failure.
/// When to come back is still read from `Retry-After` and `RetryInfo`: tower-http's classifiers have no word for it.
///
/// A classifier that depends on the request is made by a [`ClassifyLayer`] further in.
///
/// ```
/// use seaworthy_http::tower_http::TowerHttp;
/// use seaworthy_kit::Traffic;
/// use tower_http::classify::{GrpcCode, GrpcErrorsAsFailures};
///
/// let traffic = TowerHttp::new(GrpcErrorsAsFailures::new().with_success(GrpcCode::NotFound));
/// # fn is_traffic<T: Traffic<http::Response<http_body_util::Empty<bytes::Bytes>>>>(_: T) {}
/// # is_traffic(traffic);
/// ```
#[derive(Clone, Copy, Default, Debug)]
pub struct TowerHttp<C> {
    classifier: C,
}

/// What judges the rest of one response: what the classifier left for the end of the stream.
pub struct Rest<E> {
    /// Asked once, with a value that is used up; the lock is never waited for.
    eos: Mutex<Option<E>>,
}

// ===== impl TowerHttp =====

impl<C: ClassifyResponse + Clone> TowerHttp<C> {
    /// Judges each response by a clone of this classifier.
    pub const fn new(classifier: C) -> Self {
        Self { classifier }
    }

    /// Judges each response by what all requests share, as [`TraceLayer::new_for_grpc`] takes it.
    ///
    /// [`TraceLayer::new_for_grpc`]: https://docs.rs/tower-http/latest/tower_http/trace/struct.TraceLayer.html#method.new_for_grpc
    #[must_use]
    pub fn shared(classifier: &SharedClassifier<C>) -> Self {
        // It gives the same one for any request.
        Self::new(classifier.make_classifier(&Request::new(())))
    }
}

impl<B, C> Traffic<Response<B>> for TowerHttp<C>
where
    B: Body,
    C: ClassifyResponse + Clone + Send + Sync + 'static,
{
    type Response<G: Settle> = Response<GuardedBody<B, G, Rest<C::ClassifyEos>>>;

    fn finish<G: Settle>(&self, response: Response<B>, mut guard: G) -> Self::Response<G> {
        let refused = response.extensions().get().map(classify_rejection);
        let (verdict, eos) = match refused {
            Some(verdict) => (verdict, None),
            None => {
                let made = make::made(&response).unwrap_or(&self.classifier);
                match made.clone().classify_response(&response) {
                    ClassifiedResponse::Ready(Ok(())) => (Verdict::SUCCESS, None),
                    // A trailers-only response of gRPC has its details here.
                    ClassifiedResponse::Ready(Err(_)) => (failure(Some(response.headers())), None),
                    ClassifiedResponse::RequiresEos(eos) => (Verdict::LATER, Some(eos)),
                }
            }
        };
        let (mut head, body) = response.into_parts();
        // What a refusal says is not the dependency's word.
        let verdict = if refused.is_some() {
            verdict
        } else {
            hinted(verdict, &head)
        };
        show_head(&mut head, verdict, &mut guard);
        let eos = Mutex::new(eos);
        let body = GuardedBody::new(body, guard, Rest { eos }, verdict);
        Response::from_parts(head, body)
    }

    fn failed(&self, error: &BoxError) -> Verdict {
        // tower-http has classes of errors, all of them failures.
        classify_error::<(), (), _>(&ErrorsAsFailures::new(), error)
    }
}

// ===== impl Rest =====

impl<E: ClassifyEos> Classify<Parts, HeaderMap> for Rest<E> {
    fn classify(&self, result: Result<&Parts, &BoxError>) -> Verdict {
        match result {
            // The head was judged when the body was made.
            Ok(_) => Verdict::LATER,
            Err(_) => Verdict::FAILURE,
        }
    }

    fn classify_end(&self, trailers: Option<&HeaderMap>) -> Verdict {
        let eos = self
            .eos
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(eos) = eos else {
            return Verdict::SUCCESS;
        };
        match eos.classify_eos(trailers) {
            Ok(()) => Verdict::SUCCESS,
            Err(_) => failure(trailers),
        }
    }
}

/// A failure, with what the details of its gRPC status say about when to come back.
fn failure(fields: Option<&HeaderMap>) -> Verdict {
    Verdict::FAILURE.with_retry_after(fields.and_then(grpc::retry_delay))
}

impl<E> fmt::Debug for Rest<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
