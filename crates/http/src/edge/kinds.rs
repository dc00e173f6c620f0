//! What each kind of rejection is for a caller: a status, a type of problem, a sentence.

use http::StatusCode;
use seaworthy_kit::RejectionKind;

use crate::grpc::GrpcStatus;

pub(super) fn http_status(kind: RejectionKind) -> StatusCode {
    match kind {
        RejectionKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub(crate) fn grpc_status(kind: RejectionKind) -> GrpcStatus {
    match kind {
        RejectionKind::RateLimited => GrpcStatus::ResourceExhausted,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => GrpcStatus::DeadlineExceeded,
        _ => GrpcStatus::Unavailable,
    }
}

pub(super) const fn problem_type(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::CircuitOpen => "urn:seaworthy:problem:circuit-open",
        RejectionKind::BulkheadFull => "urn:seaworthy:problem:bulkhead-full",
        RejectionKind::QueueTimeout => "urn:seaworthy:problem:queue-timeout",
        RejectionKind::RateLimited => "urn:seaworthy:problem:rate-limited",
        RejectionKind::DeadlineExceeded => "urn:seaworthy:problem:deadline-exceeded",
        RejectionKind::TimedOut => "urn:seaworthy:problem:timed-out",
        RejectionKind::Shed => "urn:seaworthy:problem:shed",
        RejectionKind::Draining => "urn:seaworthy:problem:draining",
        _ => "urn:seaworthy:problem:rejected",
    }
}

pub(crate) const fn title(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::CircuitOpen => "A service that this one needs is not available.",
        RejectionKind::BulkheadFull | RejectionKind::QueueTimeout | RejectionKind::Shed => {
            "This service has more work than it can take."
        }
        RejectionKind::RateLimited => "Too many requests from this caller.",
        RejectionKind::DeadlineExceeded => "The deadline had passed before the work could begin.",
        RejectionKind::TimedOut => "The work took too long.",
        RejectionKind::Draining => "This instance is shutting down.",
        _ => "The call was rejected.",
    }
}
