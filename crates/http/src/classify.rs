//! What an HTTP or gRPC answer says about the dependency.

use http::response::Parts;
use http::{HeaderMap, StatusCode};
use seaworthy_kit::{BoxError, Classify, Verdict, clock};

use crate::grpc::{self, GrpcStatus};
use crate::retry_after;

/// The default: server errors and transport errors are failures of the dependency, everything else is an answer.
///
/// HTTP: 5xx is a failure; anything else is a success, the caller's own mistakes included.
/// 429 and 503 with `Retry-After` also say when to come back.
///
/// gRPC, known by the `content-type` of the response: `grpc-status` counts, from the headers of a trailers-only response or from the trailers.
/// UNAVAILABLE, INTERNAL, UNKNOWN, DATA_LOSS, DEADLINE_EXCEEDED and RESOURCE_EXHAUSTED are failures, CANCELLED is abandoned, and the other codes are the caller's own mistakes, which the dependency answered well.
/// A gRPC response that ends without a status has failed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct DefaultClassifier;

impl DefaultClassifier {
    /// The classifier; it has no options.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Classify<Parts, HeaderMap> for DefaultClassifier {
    fn classify(&self, result: Result<&Parts, &BoxError>) -> Verdict {
        let Ok(head) = result else {
            return Verdict::FAILURE;
        };
        if head.status == StatusCode::OK && grpc::is_grpc(&head.headers) {
            match grpc::status(&head.headers) {
                Some(status) => grpc_verdict(status, &head.headers),
                None => Verdict::LATER,
            }
        } else {
            http_verdict(head)
        }
    }

    fn classify_end(&self, trailers: Option<&HeaderMap>) -> Verdict {
        match trailers {
            Some(trailers) => grpc_verdict(
                grpc::status(trailers).unwrap_or(GrpcStatus::Unknown),
                trailers,
            ),
            None => Verdict::FAILURE,
        }
    }
}

fn http_verdict(head: &Parts) -> Verdict {
    let verdict = if head.status.is_server_error() {
        Verdict::FAILURE
    } else {
        Verdict::SUCCESS
    };
    hinted(verdict, head)
}

/// The verdict, with the word of a busy server about when to come back.
pub(crate) fn hinted(verdict: Verdict, head: &Parts) -> Verdict {
    let hints = matches!(
        head.status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    );
    if hints {
        verdict.with_retry_after(retry_after::read(&head.headers, clock::wall))
    } else {
        verdict
    }
}

/// The verdict on a gRPC status, with the hints that came with it.
fn grpc_verdict(status: GrpcStatus, headers: &HeaderMap) -> Verdict {
    match status {
        GrpcStatus::Cancelled => Verdict::ABANDONED,
        GrpcStatus::Unavailable | GrpcStatus::ResourceExhausted => {
            Verdict::FAILURE.with_retry_after(grpc::retry_delay(headers))
        }
        GrpcStatus::Unknown
        | GrpcStatus::DeadlineExceeded
        | GrpcStatus::Internal
        | GrpcStatus::DataLoss => Verdict::FAILURE,
        GrpcStatus::Ok
        | GrpcStatus::InvalidArgument
        | GrpcStatus::NotFound
        | GrpcStatus::AlreadyExists
        | GrpcStatus::PermissionDenied
        | GrpcStatus::FailedPrecondition
        | GrpcStatus::Aborted
        | GrpcStatus::OutOfRange
        | GrpcStatus::Unimplemented
        | GrpcStatus::Unauthenticated => Verdict::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;
    use seaworthy_core::Outcome;

    use super::*;

    fn head(status: u16, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    fn judge(status: u16, headers: &[(&'static str, &'static str)]) -> Verdict {
        DefaultClassifier::new().classify(Ok(&head(status, headers)))
    }

    #[test]
    fn only_server_errors_fail() {
        for status in [200, 204, 301, 400, 404, 408, 409, 422, 429, 499] {
            assert_eq!(
                judge(status, &[]).outcome(),
                Some(Outcome::Success),
                "{status}"
            );
        }
        for status in [500, 501, 502, 503, 504, 599] {
            assert_eq!(
                judge(status, &[]).outcome(),
                Some(Outcome::Failure),
                "{status}"
            );
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
        assert_eq!(judge(503, &[("retry-after", "soon")]).retry_after(), None);
    }

    #[test]
    fn grpc_status_decides_wherever_it_stands() {
        const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");
        let in_head = |code| judge(200, &[GRPC, ("grpc-status", code)]).outcome();
        let in_trailers = |code: &str| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            DefaultClassifier::new()
                .classify_end(Some(&trailers))
                .outcome()
        };
        for code in 0..=17_u8 {
            let expected = match code {
                1 => Outcome::Abandoned,
                2 | 4 | 8 | 13 | 14 | 15 | 17 => Outcome::Failure,
                _ => Outcome::Success,
            };
            let code = code.to_string().leak();
            assert_eq!(in_head(code), Some(expected), "{code} in the head");
            assert_eq!(in_trailers(code), Some(expected), "{code} in the trailers");
        }
    }

    #[test]
    fn grpc_that_is_busy_says_when_to_come_back() {
        let wait = Some(Duration::from_secs(9));
        for (status, expected) in [
            (GrpcStatus::Unavailable, wait),
            (GrpcStatus::ResourceExhausted, wait),
            (GrpcStatus::Internal, None),
        ] {
            let response = grpc::TrailersOnly::new(status)
                .retry_delay(Duration::from_secs(9))
                .into_response::<()>();
            let head = response.into_parts().0;
            let classifier = DefaultClassifier::new();
            let expected = Verdict::FAILURE.with_retry_after(expected);
            assert_eq!(classifier.classify(Ok(&head)), expected, "{status}");
            let trailers = Some(&head.headers);
            assert_eq!(classifier.classify_end(trailers), expected, "{status}");
        }
    }

    #[test]
    fn grpc_without_a_status_waits_for_the_trailers_and_fails_without_them() {
        let open = judge(200, &[("content-type", "application/grpc")]);
        assert_eq!(open, Verdict::LATER);
        let classifier = DefaultClassifier::new();
        assert_eq!(classifier.classify_end(None), Verdict::FAILURE);
        assert_eq!(
            classifier.classify_end(Some(&HeaderMap::new())),
            Verdict::FAILURE
        );
    }

    #[test]
    fn http_error_of_a_grpc_server_counts_by_its_http_status() {
        let response = [("content-type", "application/grpc")];
        assert_eq!(judge(503, &response).outcome(), Some(Outcome::Failure));
        assert_eq!(judge(404, &response).outcome(), Some(Outcome::Success));
    }

    #[test]
    fn transport_error_fails() {
        let error: BoxError = "connection reset".into();
        let verdict = DefaultClassifier::new().classify(Err(&error));
        assert_eq!(verdict, Verdict::FAILURE);
    }
}
