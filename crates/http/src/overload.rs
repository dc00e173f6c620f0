//! Whether a dependency takes calls on, whatever becomes of them: the classifier of layers that send less to whom has too much.

use http::response::Parts;
use http::{HeaderMap, StatusCode};
use seaworthy_kit::{BoxError, Classify, Verdict};

use crate::classify::hinted;
use crate::grpc::{self, GrpcStatus};

/// A failure is an answer that says "too much", or none in time; everything else is a success, a bug of the dependency included: fewer calls would not help.
///
/// | answer | verdict |
/// |---|---|
/// | 429, 502, 503, 504 | failure; with 429 and 503, `Retry-After` says when to come back |
/// | any other status, 500 and the caller's own mistakes included | success |
/// | gRPC UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED | failure, with the delay of RetryInfo |
/// | gRPC CANCELLED | abandoned |
/// | any other gRPC status, INTERNAL and UNKNOWN included, or none | success |
/// | no answer: a transport error, before the head or in the body | failure |
/// | a timeout of a layer further in | failure |
/// | a refusal of a layer further in | ignored, as everywhere |
///
/// The four HTTP statuses are those that gRPC takes for UNAVAILABLE: a proxy that cannot reach a server, or waits for it in vain, stands in for one that has too much.
/// So does a connection that is refused or breaks.
/// A server that is broken is taken for one that has too much so far: from outside the two look the same, since who is far overloaded refuses nothing any more in words.
/// That is the book's view, in which a call is accepted or is not; Finagle's filter, by contrast, goes by refusals in words alone, and so holds nothing back from a server that is too busy to refuse.
/// The mistake is a cheap one: fewer calls hurt no server that answers none, one in ten goes through and finds out when it is back, and a circuit breaker inside, whose refusals are ignored here, stops the rest.
/// RESOURCE_EXHAUSTED is also what gRPC libraries say of a message that is too long; where that is usual, a classifier of one's own tells the two apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct OverloadClassifier;

impl OverloadClassifier {
    /// The classifier; it has no options.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Classify<Parts, HeaderMap> for OverloadClassifier {
    fn classify(&self, result: Result<&Parts, &BoxError>) -> Verdict {
        let Ok(head) = result else {
            return Verdict::FAILURE;
        };
        if head.status == StatusCode::OK && grpc::is_grpc(&head.headers) {
            return match grpc::status(&head.headers) {
                Some(status) => grpc_verdict(status, &head.headers),
                None => Verdict::LATER,
            };
        }
        let verdict = if is_too_much(head.status) {
            Verdict::FAILURE
        } else {
            Verdict::SUCCESS
        };
        hinted(verdict, head)
    }

    fn classify_end(&self, trailers: Option<&HeaderMap>) -> Verdict {
        match trailers.and_then(|trailers| Some((grpc::status(trailers)?, trailers))) {
            Some((status, trailers)) => grpc_verdict(status, trailers),
            None => Verdict::SUCCESS,
        }
    }
}

const fn is_too_much(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn grpc_verdict(status: GrpcStatus, headers: &HeaderMap) -> Verdict {
    match status {
        GrpcStatus::Unavailable | GrpcStatus::ResourceExhausted | GrpcStatus::DeadlineExceeded => {
            Verdict::FAILURE.with_retry_after(grpc::retry_delay(headers))
        }
        GrpcStatus::Cancelled => Verdict::ABANDONED,
        _ => Verdict::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;
    use seaworthy_core::Outcome;

    use super::*;

    const CLASSIFIER: OverloadClassifier = OverloadClassifier::new();

    fn judge(status: u16, headers: &[(&'static str, &'static str)]) -> Verdict {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        CLASSIFIER.classify(Ok(&response.body(()).unwrap().into_parts().0))
    }

    #[test]
    fn only_answers_that_say_too_much_are_failures() {
        for status in [
            200, 204, 304, 400, 401, 404, 408, 409, 422, 499, 500, 501, 505, 599,
        ] {
            assert_eq!(judge(status, &[]), Verdict::SUCCESS, "{status}");
        }
        for status in [429, 502, 503, 504] {
            assert_eq!(judge(status, &[]), Verdict::FAILURE, "{status}");
        }
    }

    #[test]
    fn busy_answers_say_when_to_come_back() {
        let hint = [("retry-after", "7")];
        for status in [429, 503] {
            let after = judge(status, &hint).retry_after();
            assert_eq!(after, Some(Duration::from_secs(7)), "{status}");
        }
        assert_eq!(judge(500, &hint).retry_after(), None);
    }

    #[test]
    fn grpc_status_decides_wherever_it_stands() {
        const GRPC: (&str, &str) = ("content-type", "application/grpc");
        for code in 0..=17_u8 {
            let expected = match code {
                1 => Outcome::Abandoned,
                4 | 8 | 14 => Outcome::Failure,
                _ => Outcome::Success,
            };
            let text: &'static str = code.to_string().leak();
            let head = judge(200, &[GRPC, ("grpc-status", text)]);
            assert_eq!(head.outcome(), Some(expected), "{code} in the head");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", text.parse().unwrap());
            let end = CLASSIFIER.classify_end(Some(&trailers));
            assert_eq!(end.outcome(), Some(expected), "{code} in the trailers");
        }
        assert_eq!(judge(200, &[GRPC]), Verdict::LATER);
        // What began was taken on, and how it broke off is told by the error of the body.
        assert_eq!(CLASSIFIER.classify_end(None), Verdict::SUCCESS);
        assert_eq!(
            CLASSIFIER.classify_end(Some(&HeaderMap::new())),
            Verdict::SUCCESS
        );
    }

    #[test]
    fn grpc_that_is_busy_says_when_to_come_back() {
        let response = grpc::TrailersOnly::new(GrpcStatus::ResourceExhausted)
            .retry_delay(Duration::from_secs(9))
            .into_response::<()>();
        let head = response.into_parts().0;
        let verdict = CLASSIFIER.classify(Ok(&head));
        assert_eq!(verdict.retry_after(), Some(Duration::from_secs(9)));
    }

    #[test]
    fn no_answer_is_a_failure() {
        let error: BoxError = "connection reset".into();
        assert_eq!(CLASSIFIER.classify(Err(&error)), Verdict::FAILURE);
    }
}
