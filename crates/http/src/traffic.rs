//! HTTP and gRPC as the traffic of a layer: a call is over when its response body is.

use http::response::Parts;
use http::{Extensions, HeaderMap, Response};
use http_body::Body;
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::verdict::{classify_error, classify_rejection};
use seaworthy_kit::{BoxError, Classify, ClassifyFn, Rejection, Settle, Traffic, Verdict};

use crate::body::GuardedBody;
use crate::classify::DefaultClassifier;

/// HTTP and gRPC: what [`XLayer::http`](seaworthy_kit::Traffic) puts into a layer.
#[derive(Clone, Copy, Default, Debug)]
pub struct Http<C = DefaultClassifier> {
    classifier: C,
}

impl Http {
    /// Classifies by [`DefaultClassifier`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            classifier: DefaultClassifier::new(),
        }
    }
}

impl<C> Http<C> {
    /// Another classifier.
    pub const fn with_classifier(classifier: C) -> Self {
        Self { classifier }
    }

    /// The classifier.
    pub const fn classifier(&self) -> &C {
        &self.classifier
    }
}

impl<F> Http<ClassifyFn<F>>
where
    F: Fn(Result<&Parts, &BoxError>) -> Verdict,
{
    /// A closure as the classifier.
    pub const fn classify(classify: F) -> Self {
        Self::with_classifier(ClassifyFn::new(classify))
    }
}

/// The verdict on the head of a response: a local refusal that an edge further in turned into a response is still a local refusal.
pub(crate) fn classify_head<C>(classifier: &C, head: &Parts) -> Verdict
where
    C: Classify<Parts, HeaderMap>,
{
    match head.extensions.get::<Rejection>() {
        Some(rejection) => classify_rejection(rejection),
        None => classifier.classify(Ok(head)),
    }
}

/// Puts what is left of the caller's quotas where the layer that writes the fields finds it: behind what limits further in have put there.
#[inline]
pub(crate) fn tell_quotas(extensions: &mut Extensions, guard: &impl Settle) {
    if let Some(quotas) = guard.quotas() {
        add_quotas(extensions, quotas);
    }
}

pub(crate) fn add_quotas(extensions: &mut Extensions, quotas: Quotas) {
    match extensions.get_mut::<Quotas>() {
        Some(told) => told.extend(quotas.iter().copied()),
        None => {
            extensions.insert(quotas);
        }
    }
}

impl<B, C> Traffic<Response<B>> for Http<C>
where
    B: Body,
    C: Classify<Parts, HeaderMap> + Clone,
{
    type Response<G: Settle> = Response<GuardedBody<B, G, C>>;

    fn finish<G: Settle>(&self, response: Response<B>, guard: G) -> Self::Response<G> {
        let (mut head, body) = response.into_parts();
        tell_quotas(&mut head.extensions, &guard);
        let verdict = classify_head(&self.classifier, &head);
        let body = GuardedBody::new(body, guard, self.classifier.clone(), verdict);
        Response::from_parts(head, body)
    }

    fn failed(&self, error: &BoxError) -> Verdict {
        classify_error(&self.classifier, error)
    }
}
