//! What the caller of a refused request gets: a problem document, or how a gRPC call ends.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, LINK, RETRY_AFTER};
use http::{Response, StatusCode};
use seaworthy_http::grpc::{GrpcStatus, TrailersOnly};
use seaworthy_http::problem::Problem;
use seaworthy_http::retry_after;
use seaworthy_http::whole::WholeBody;
use seaworthy_kit::{Event, Telemetry};

use super::{Caller, Http};
use crate::refused::Refused;

/// What a refusal is on the wire.
struct Form {
    kind: &'static str,
    title: &'static str,
    http: StatusCode,
    grpc: GrpcStatus,
    /// When to come back, if that is of use.
    after: Option<Duration>,
}

impl Http {
    pub(super) fn refuse_response<B>(
        &self,
        refused: Refused,
        caller: Caller,
        telemetry: &Telemetry,
    ) -> Response<WholeBody<B>> {
        let form = self.form(refused);
        let mut response = if caller.grpc {
            grpc(&form)
        } else {
            self.problem(refused, &form)
        };
        if let Some(refusal) = refused.refusal() {
            telemetry.report(&Event::Refused {
                kind: refusal.kind(),
                retry_after: refusal.retry_after(),
                enforced: true,
            });
            // As at the edge: a layer further out knows a local refusal from an answer of the handler.
            let rejection = telemetry.rejection(refusal.kind());
            let rejection = rejection.with_retry_after(refusal.retry_after());
            response.extensions_mut().insert(rejection);
        }
        response
    }

    fn problem<B>(&self, refused: Refused, form: &Form) -> Response<WholeBody<B>> {
        let mut problem = Problem::new(form.http).kind(form.kind).title(form.title);
        match refused {
            Refused::BodyTooLarge { limit } => problem = problem.extension("limit", limit),
            Refused::AnswerNotKept {
                status: Some(status),
            } => problem = problem.extension("original_status", status),
            _ => {}
        }
        let mut response = problem.into_response::<Bytes>();
        let headers = response.headers_mut();
        if let Some(after) = form.after {
            headers.insert(RETRY_AFTER, retry_after::encode(after));
        }
        if let Some(docs) = &self.docs {
            // The draft, section 2.7: where the operation's use of keys is described.
            let link = format!("<{docs}>; rel=\"describedby\"; type=\"text/html\"");
            if let Ok(link) = HeaderValue::from_str(&link) {
                headers.insert(LINK, link);
            }
        }
        response.map(WholeBody::from)
    }

    fn form(&self, refused: Refused) -> Form {
        let (kind, title, http, grpc) = match refused {
            Refused::KeyMissing => (
                "urn:seaworthy:problem:key-missing",
                "This operation requires an idempotency key.",
                StatusCode::BAD_REQUEST,
                GrpcStatus::InvalidArgument,
            ),
            Refused::KeyMalformed => (
                "urn:seaworthy:problem:key-malformed",
                "The idempotency key cannot be read.",
                StatusCode::BAD_REQUEST,
                GrpcStatus::InvalidArgument,
            ),
            Refused::CallerUnknown => (
                "urn:seaworthy:problem:caller-unknown",
                "An idempotency key needs a caller that is known.",
                StatusCode::FORBIDDEN,
                GrpcStatus::PermissionDenied,
            ),
            Refused::BodyTooLarge { .. } => (
                "urn:seaworthy:problem:body-too-large",
                "The body of a request with an idempotency key is limited.",
                StatusCode::PAYLOAD_TOO_LARGE,
                GrpcStatus::ResourceExhausted,
            ),
            Refused::BodyTooSlow => (
                "urn:seaworthy:problem:body-too-slow",
                "The body of a request with an idempotency key took too long.",
                StatusCode::REQUEST_TIMEOUT,
                GrpcStatus::DeadlineExceeded,
            ),
            Refused::KeyReused => (
                "urn:seaworthy:problem:key-reused",
                "This idempotency key was used for another request.",
                self.mismatch_status,
                GrpcStatus::FailedPrecondition,
            ),
            Refused::InProgress { .. } => (
                "urn:seaworthy:problem:request-in-progress",
                "The first request with this idempotency key still runs.",
                StatusCode::CONFLICT,
                GrpcStatus::Aborted,
            ),
            Refused::OutcomeUnknown => (
                "urn:seaworthy:problem:outcome-unknown",
                "A request with this idempotency key began, and its outcome is not known.",
                StatusCode::CONFLICT,
                GrpcStatus::FailedPrecondition,
            ),
            Refused::AnswerNotKept { .. } => (
                "urn:seaworthy:problem:outcome-known-not-stored",
                "The request with this idempotency key was answered, and the answer was not kept.",
                StatusCode::CONFLICT,
                GrpcStatus::FailedPrecondition,
            ),
            Refused::StoreUnavailable => (
                "urn:seaworthy:problem:store-unavailable",
                "Idempotency keys cannot be looked up at the moment.",
                StatusCode::SERVICE_UNAVAILABLE,
                GrpcStatus::Unavailable,
            ),
        };
        let after = match refused {
            Refused::InProgress { after } => Some(whole_seconds(after)),
            Refused::StoreUnavailable => Some(LEAST_WAIT),
            _ => None,
        };
        Form {
            kind,
            title,
            http,
            grpc,
            after,
        }
    }
}

fn grpc<B>(form: &Form) -> Response<WholeBody<B>> {
    let answer = TrailersOnly::new(form.grpc).message(form.title);
    match form.after {
        Some(after) => answer.retry_delay(after).into_response(),
        None => answer.into_response(),
    }
}

/// Rounded up, and at least one: nobody is to come back at once.
fn whole_seconds(wait: Duration) -> Duration {
    let partial = u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(wait.as_secs().saturating_add(partial)).max(LEAST_WAIT)
}

const LEAST_WAIT: Duration = Duration::from_secs(1);
