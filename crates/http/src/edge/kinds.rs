//! What each kind of rejection is for a caller: a status, a type of problem, a sentence.

use http::StatusCode;
use seaworthy_kit::RejectionKind;

use crate::grpc::GrpcStatus;

pub(super) fn http_status(kind: RejectionKind) -> StatusCode {
    match kind {
        RejectionKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        RejectionKind::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        RejectionKind::InProgress | RejectionKind::OutcomeUnknown => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub(crate) fn grpc_status(kind: RejectionKind) -> GrpcStatus {
    match kind {
        RejectionKind::RateLimited => GrpcStatus::ResourceExhausted,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => GrpcStatus::DeadlineExceeded,
        RejectionKind::KeyReused | RejectionKind::OutcomeUnknown => GrpcStatus::FailedPrecondition,
        RejectionKind::InProgress => GrpcStatus::Aborted,
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
        RejectionKind::KeyReused => "urn:seaworthy:problem:key-reused",
        RejectionKind::InProgress => "urn:seaworthy:problem:request-in-progress",
        RejectionKind::OutcomeUnknown => "urn:seaworthy:problem:outcome-unknown",
        RejectionKind::StoreUnavailable => "urn:seaworthy:problem:store-unavailable",
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
        RejectionKind::KeyReused => "This idempotency key was used for another request.",
        RejectionKind::InProgress => "The first request with this idempotency key still runs.",
        RejectionKind::OutcomeUnknown => {
            "A request with this idempotency key began, and its outcome is not known."
        }
        RejectionKind::StoreUnavailable => "Idempotency keys cannot be looked up at the moment.",
        _ => "The call was rejected.",
    }
}

/// Whether the same request may meet another answer later.
pub(super) const fn may_come_back(kind: RejectionKind) -> bool {
    !matches!(
        kind,
        RejectionKind::KeyReused | RejectionKind::OutcomeUnknown
    )
}
