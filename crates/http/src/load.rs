//! What an HTTP or gRPC answer says about the load: for layers that find out how much is too much.

use http::response::Parts;
use http::{HeaderMap, StatusCode};
use seaworthy_kit::{BoxError, Classify, Verdict};

use crate::DefaultClassifier;
use crate::grpc::{self, GrpcStatus};

/// As [`DefaultClassifier`], but with an eye on the load.
///
/// 503 and 504, and gRPC's UNAVAILABLE and DEADLINE_EXCEEDED, say that there was too much to do: [`Verdict::is_overload`].
/// 429 and RESOURCE_EXHAUSTED do not: they say that one caller has used up its quota, and others still have theirs.
/// The answers 4xx, and gRPC's codes for mistakes of the caller's, are ignored: they come fast and tell nothing of how long the work takes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct LoadClassifier;

impl LoadClassifier {
    /// The classifier; it has no options.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Classify<Parts, HeaderMap> for LoadClassifier {
    fn classify(&self, result: Result<&Parts, &BoxError>) -> Verdict {
        let verdict = DefaultClassifier::new().classify(result);
        match result {
            Err(_) => verdict,
            Ok(_) if verdict.is_later() => verdict,
            Ok(head) if head.status == StatusCode::OK && grpc::is_grpc(&head.headers) => {
                by_grpc(verdict, grpc::status(&head.headers))
            }
            Ok(head) => by_http(verdict, head.status),
        }
    }

    fn classify_end(&self, trailers: Option<&HeaderMap>) -> Verdict {
        let verdict = DefaultClassifier::new().classify_end(trailers);
        by_grpc(verdict, trailers.and_then(grpc::status))
    }
}

fn by_http(verdict: Verdict, status: StatusCode) -> Verdict {
    let verdict = if status.is_client_error() {
        Verdict::IGNORED.with_retry_after(verdict.retry_after())
    } else {
        verdict
    };
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    ) {
        verdict.overloaded()
    } else {
        verdict
    }
}

fn by_grpc(verdict: Verdict, status: Option<GrpcStatus>) -> Verdict {
    match status {
        Some(GrpcStatus::Unavailable | GrpcStatus::DeadlineExceeded) => verdict.overloaded(),
        // Not `Ok`, and yet a success: the caller's own mistake.
        Some(status) if status != GrpcStatus::Ok && verdict == Verdict::SUCCESS => Verdict::IGNORED,
        _ => verdict,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;
    use seaworthy_core::Outcome;

    use super::*;

    fn judge(status: u16, headers: &[(&'static str, &'static str)]) -> Verdict {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let head = response.body(()).unwrap().into_parts().0;
        LoadClassifier::new().classify(Ok(&head))
    }

    #[test]
    fn answers_of_a_busy_server_are_overload_and_a_callers_quota_is_not() {
        for status in 100..600 {
            let verdict = judge(status, &[]);
            let busy = matches!(status, 503 | 504);
            assert_eq!(verdict.is_overload(), busy, "{status}");
            let expected = match status {
                500.. => Outcome::Failure,
                400..500 => Outcome::Ignored,
                _ => Outcome::Success,
            };
            assert_eq!(verdict.outcome(), Some(expected), "{status}");
        }
        let hint = [("retry-after", "7")];
        for status in [429, 503] {
            let after = judge(status, &hint).retry_after();
            assert_eq!(after, Some(Duration::from_secs(7)), "{status}");
        }
    }

    #[test]
    fn grpc_status_decides_wherever_it_stands() {
        const GRPC: (&str, &str) = ("content-type", "application/grpc");
        for code in 0..=17_u8 {
            let code: &'static str = code.to_string().leak();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().unwrap());
            let in_head = judge(200, &[GRPC, ("grpc-status", code)]);
            let in_trailers = LoadClassifier::new().classify_end(Some(&trailers));
            assert_eq!(in_head, in_trailers);
            assert_eq!(in_head.is_overload(), matches!(code, "4" | "14"));
            let expected = match code {
                "0" => Outcome::Success,
                "1" => Outcome::Abandoned,
                "2" | "4" | "8" | "13" | "14" | "15" | "17" => Outcome::Failure,
                _ => Outcome::Ignored,
            };
            assert_eq!(in_head.outcome(), Some(expected), "{code}");
        }
        assert_eq!(judge(200, &[GRPC]), Verdict::LATER);
        let without = LoadClassifier::new().classify_end(None);
        assert_eq!(without, Verdict::FAILURE);
    }

    #[test]
    fn transport_error_fails_and_says_nothing_of_the_load() {
        let error: BoxError = "connection refused".into();
        let verdict = LoadClassifier::new().classify(Err(&error));
        assert_eq!(verdict, Verdict::FAILURE);
    }
}
