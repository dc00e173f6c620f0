//! Which HTTP and gRPC answers are worth another attempt, and which requests may be sent twice.

pub use http::HeaderName;
use http::{HeaderMap, Method, StatusCode};
use seaworthy_core::Hint;
use seaworthy_kit::clock;

use crate::grpc::{self, GrpcStatus};
use crate::retry_after::{self, Pushback};

/// Makes a request with any method one that may be sent twice: the server knows the second from the first.
pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Tells a gRPC server how many attempts went before this one, [gRFC A6].
///
/// [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
pub static GRPC_PREVIOUS_RPC_ATTEMPTS: HeaderName =
    HeaderName::from_static("grpc-previous-rpc-attempts");

/// Whether a request may be sent more than once: its method is idempotent, or it carries an `Idempotency-Key`.
///
/// gRPC calls are POST requests, and so are not.
#[must_use]
pub fn is_repeatable(method: &Method, headers: &HeaderMap) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
    //# Of the request methods defined by this specification, PUT, DELETE, and
    //# safe request methods are idempotent.
    method.is_idempotent() || headers.contains_key(&IDEMPOTENCY_KEY)
}

/// Whether an answer says "not now" rather than "no".
///
/// HTTP: 408, 425, 429, 502, 503 and 504.
/// Not 500: it is mostly a bug, and the same request meets it again.
///
/// gRPC: UNAVAILABLE, and RESOURCE_EXHAUSTED where the server says when to come back; without that it may be a quota for good.
/// A status in the trailers comes too late: as in gRFC A6, a call whose response has begun is not made again.
#[must_use]
pub fn is_transient(status: StatusCode, headers: &HeaderMap) -> bool {
    if status == StatusCode::OK && grpc::is_grpc(headers) {
        return match grpc::status(headers) {
            Some(GrpcStatus::Unavailable) => true,
            Some(GrpcStatus::ResourceExhausted) => grpc_hint(headers) != Hint::None,
            _ => false,
        };
    }
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What an answer says about when to ask again: gRPC's pushback or `RetryInfo`, `Retry-After`, and the marks of proxies that forbid it.
#[must_use]
pub fn hint(headers: &HeaderMap) -> Hint {
    if retry_after::forbids_retry(headers) {
        return Hint::Never;
    }
    if grpc::is_grpc(headers) {
        return grpc_hint(headers);
    }
    match retry_after::read(headers, clock::wall) {
        Some(wait) => Hint::After(wait),
        None => Hint::None,
    }
}

fn grpc_hint(headers: &HeaderMap) -> Hint {
    match retry_after::pushback(headers) {
        Some(Pushback::After(wait)) => Hint::After(wait),
        Some(Pushback::Stop) => Hint::Never,
        None => grpc::retry_delay(headers).map_or(Hint::None, Hint::After),
    }
}

/// A response that was given up before its next attempt could be made, in words.
pub(crate) fn describe(status: StatusCode, headers: &HeaderMap) -> String {
    match grpc::status(headers) {
        Some(status) if grpc::is_grpc(headers) => format!("gRPC status {status}"),
        _ => format!("HTTP status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn headers(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn grpc(more: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut all = vec![("content-type", "application/grpc")];
        all.extend(more);
        headers(&all)
    }

    #[test]
    fn only_answers_that_say_not_now_are_transient() {
        let transient = [408, 425, 429, 502, 503, 504];
        for code in 100..600 {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(
                is_transient(status, &HeaderMap::new()),
                transient.contains(&code),
                "{code}"
            );
        }
    }

    #[test]
    fn grpc_status_of_a_trailers_only_response_decides() {
        for code in 0..=16_u8 {
            let code = code.to_string().leak();
            let head = grpc(&[("grpc-status", code)]);
            assert_eq!(is_transient(StatusCode::OK, &head), code == "14", "{code}");
        }
        assert!(!is_transient(StatusCode::OK, &grpc(&[])), "it has begun");
        assert!(
            is_transient(StatusCode::SERVICE_UNAVAILABLE, &grpc(&[])),
            "a proxy on the way"
        );
    }

    #[test]
    fn exhausted_resource_needs_a_word_about_when() {
        let with = |pushback| grpc(&[("grpc-status", "8"), ("grpc-retry-pushback-ms", pushback)]);
        assert!(is_transient(StatusCode::OK, &with("100")));
        assert_eq!(hint(&with("100")), Hint::After(Duration::from_millis(100)));
        assert_eq!(hint(&with("-1")), Hint::Never);
        assert_eq!(hint(&with("soon")), Hint::Never);
    }

    #[test]
    fn server_says_when_or_never() {
        assert_eq!(hint(&HeaderMap::new()), Hint::None);
        assert_eq!(
            hint(&headers(&[("retry-after", "7")])),
            Hint::After(Duration::from_secs(7))
        );
        assert_eq!(
            hint(&headers(&[("x-envoy-ratelimited", "true")])),
            Hint::Never
        );
    }

    #[test]
    fn idempotent_methods_and_keys_may_be_repeated() {
        let none = HeaderMap::new();
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(is_repeatable(&method.parse().unwrap(), &none), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "BREW"] {
            assert!(!is_repeatable(&method.parse().unwrap(), &none), "{method}");
        }
        let key = headers(&[("idempotency-key", "\"8e03978e\"")]);
        assert!(is_repeatable(&Method::POST, &key));
        assert!(!is_repeatable(&Method::POST, &grpc(&[])));
    }

    #[test]
    fn description_names_the_status() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(
            describe(status, &HeaderMap::new()),
            "HTTP status 503 Service Unavailable"
        );
        let head = grpc(&[("grpc-status", "14")]);
        assert_eq!(describe(StatusCode::OK, &head), "gRPC status UNAVAILABLE");
    }
}
