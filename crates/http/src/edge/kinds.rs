//! What each kind of rejection is for a caller: a status, a type of problem, a sentence, a wait.

use std::time::Duration;

use http::StatusCode;
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{Rejection, RejectionKind};

use crate::grpc::GrpcStatus;
use crate::rate_limit;

pub(super) fn http_status(kind: RejectionKind) -> StatusCode {
    match kind {
        RejectionKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        RejectionKind::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        RejectionKind::InProgress | RejectionKind::OutcomeUnknown => StatusCode::CONFLICT,
        RejectionKind::CostTooHigh => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub(crate) fn grpc_status(kind: RejectionKind) -> GrpcStatus {
    match kind {
        RejectionKind::RateLimited => GrpcStatus::ResourceExhausted,
        RejectionKind::TimedOut | RejectionKind::DeadlineExceeded => GrpcStatus::DeadlineExceeded,
        RejectionKind::KeyReused | RejectionKind::OutcomeUnknown => GrpcStatus::FailedPrecondition,
        RejectionKind::InProgress => GrpcStatus::Aborted,
        RejectionKind::CostTooHigh => GrpcStatus::InvalidArgument,
        _ => GrpcStatus::Unavailable,
    }
}

pub(super) const fn problem_type(kind: RejectionKind) -> &'static str {
    match kind {
        RejectionKind::CircuitOpen => "urn:seaworthy:problem:circuit-open",
        RejectionKind::BulkheadFull => "urn:seaworthy:problem:bulkhead-full",
        RejectionKind::QueueTimeout => "urn:seaworthy:problem:queue-timeout",
        // Registered with IANA by the draft of the `RateLimit` fields.
        RejectionKind::RateLimited => {
            "https://iana.org/assignments/http-problem-types#quota-exceeded"
        }
        RejectionKind::DeadlineExceeded => "urn:seaworthy:problem:deadline-exceeded",
        RejectionKind::TimedOut => "urn:seaworthy:problem:timed-out",
        RejectionKind::Shed => "urn:seaworthy:problem:shed",
        RejectionKind::Draining => "urn:seaworthy:problem:draining",
        RejectionKind::KeyReused => "urn:seaworthy:problem:key-reused",
        RejectionKind::InProgress => "urn:seaworthy:problem:request-in-progress",
        RejectionKind::OutcomeUnknown => "urn:seaworthy:problem:outcome-unknown",
        RejectionKind::StoreUnavailable => "urn:seaworthy:problem:store-unavailable",
        RejectionKind::CostTooHigh => "urn:seaworthy:problem:cost-too-high",
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
        RejectionKind::StoreUnavailable => {
            "A store that is needed for this request is not available at the moment."
        }
        RejectionKind::CostTooHigh => "This request costs more than its quota ever allows at once.",
        _ => "The call was rejected.",
    }
}

/// Whether the same request may meet another answer later.
pub(super) const fn may_come_back(kind: RejectionKind) -> bool {
    !matches!(
        kind,
        RejectionKind::KeyReused | RejectionKind::OutcomeUnknown | RejectionKind::CostTooHigh
    )
}

/// How long the caller is asked to wait; a second where nobody knows, so that it does not come back at once.
///
/// The draft of the `RateLimit` fields, section 6: not earlier than the `t` beside it.
pub(super) fn wait(rejection: &Rejection, quotas: Option<&Quotas>, late: f64) -> Duration {
    let wait = rejection.retry_after().unwrap_or(LEAST_WAIT);
    later(wait.max(LEAST_WAIT), late, seaworthy_kit::draw)
        .max(quotas.map_or(LEAST_WAIT, rate_limit::least_wait))
}

/// A wait in whole seconds, rounded up, and up to that share of it longer: or else all who are told of one moment come back in one.
///
/// A wait of which the share is less than a second is only rounded, which spreads those who were refused at different times over a second.
pub(super) fn later(wait: Duration, late: f64, draw: impl FnOnce() -> u64) -> Duration {
    let whole = wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0));
    let most = (whole as f64 * late) as u64;
    let more = match most {
        0 => 0,
        most => draw() % most.saturating_add(1),
    };
    Duration::from_secs(whole.saturating_add(more))
}

/// What callers are told of their quotas: there is more of those that are used up when they should come back, and not at one moment for all.
pub(super) fn spread(quotas: &mut Quotas, late: f64) {
    for state in quotas.iter_mut().filter(|state| state.remaining == 0) {
        state.reset = later(state.reset, late, seaworthy_kit::draw);
    }
}

const LEAST_WAIT: Duration = Duration::from_secs(1);
