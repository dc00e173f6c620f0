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

/// Shows the guard the head, and puts what is left of the caller's quotas where the layer that writes the fields finds it: behind what limits further in have put there.
#[inline]
pub(crate) fn show_head(head: &mut Parts, verdict: Verdict, guard: &mut impl Settle) {
    guard.heed(head, verdict);
    if let Some(quotas) = guard.quotas() {
        add_quotas(&mut head.extensions, quotas);
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

    fn finish<G: Settle>(&self, response: Response<B>, mut guard: G) -> Self::Response<G> {
        let (mut head, body) = response.into_parts();
        let verdict = classify_head(&self.classifier, &head);
        show_head(&mut head, verdict, &mut guard);
        let body = GuardedBody::new(body, guard, self.classifier.clone(), verdict);
        Response::from_parts(head, body)
    }

    fn failed(&self, error: &BoxError) -> Verdict {
        classify_error(&self.classifier, error)
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Notes of each head the status, and whether the call was over by then.
    #[derive(Clone, Default)]
    struct Guard(Arc<Mutex<(Vec<u16>, bool)>>);

    impl Settle for Guard {
        fn settle(self, _: Verdict) {
            self.0.lock().unwrap().1 = true;
        }

        fn heed(&mut self, head: &dyn Any, verdict: Verdict) {
            assert_eq!(verdict, Verdict::SUCCESS, "a caller's own mistake");
            let mut seen = self.0.lock().unwrap();
            assert!(!seen.1, "a call that is over has been shown its head");
            let head: &Parts = head.downcast_ref().expect("the head of HTTP");
            seen.0.push(head.status.as_u16());
        }
    }

    fn shown<R>(finish: impl FnOnce(Response<String>, Guard) -> R) -> Vec<u16> {
        let guard = Guard::default();
        let mut response = Response::new(String::new());
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        drop(finish(response, guard.clone()));
        guard.0.lock().unwrap().0.clone()
    }

    #[test]
    fn guard_is_shown_the_head_once() {
        assert_eq!(
            shown(|response, guard| Http::new().finish(response, guard)),
            [429]
        );
        #[cfg(feature = "reqwest")]
        {
            let finish = |response: Response<String>, guard| {
                crate::Reqwest::new().finish(response.into(), guard)
            };
            assert_eq!(shown(finish), [429]);
        }
    }
}
