//! The response that an error becomes.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use seaworthy_kit::quota::Quotas;
use seaworthy_kit::{Attempts, BoxError, Exhausted, Rejection, RejectionKind, Tag};

use super::kinds::{grpc_status, http_status, may_come_back, problem_type, spread, title, wait};
use super::tell::{tell, with_detail};
use super::{Caller, Edge, EdgeBody, Otherwise};
use crate::grpc::{GrpcStatus, TrailersOnly};
use crate::problem::Problem;
use crate::rate_limit;
use crate::retry_after::{self, GRPC_RETRY_PUSHBACK_MS, Pushback};

impl<F> Edge<F> {
    /// The fields of the quotas that a response carries in its extensions.
    pub(super) fn write_quotas<B>(&self, response: &mut Response<B>) {
        let Some(quotas) = response.extensions().get::<Quotas>() else {
            return;
        };
        // Its headers and its extensions cannot be had at once; of two quotas, a copy takes no allocation.
        let mut quotas = quotas.clone();
        spread(&mut quotas, self.late);
        self.write(response, &quotas);
    }

    fn write<B>(&self, response: &mut Response<B>, quotas: &Quotas) {
        rate_limit::write(response.headers_mut(), quotas);
        if self.x_rate_limit {
            rate_limit::write_x(response.headers_mut(), quotas);
        }
    }
}

impl<F: Otherwise> Edge<F> {
    /// The response to an error, which itself goes no further.
    pub(super) fn respond<B>(&self, error: &BoxError, caller: Caller) -> Response<EdgeBody<B>> {
        let mut response = self.answer(error, caller);
        if let Some(attempts) = made_in_vain(error) {
            // A retry further out, in this process or at the caller's, would only multiply the attempts.
            response.extensions_mut().insert(attempts);
            if caller.grpc {
                let stop = retry_after::encode_pushback(Pushback::Stop);
                let headers = response.headers_mut();
                headers.insert(GRPC_RETRY_PUSHBACK_MS.clone(), stop);
            }
        }
        if caller.head {
            // The fields of an answer to GET without its content, which hyper would send over HTTP/2.
            let length = std::mem::take(response.body_mut()).len();
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        response.map(EdgeBody::own)
    }

    fn answer(&self, error: &BoxError, caller: Caller) -> Response<Bytes> {
        let detail = self.tell_errors.then(|| tell(error));
        let Some(rejection) = Rejection::find(&**error) else {
            let status = self.otherwise.status(error);
            return if caller.grpc {
                let status = if status == StatusCode::INTERNAL_SERVER_ERROR {
                    GrpcStatus::Internal
                } else {
                    GrpcStatus::from_http(status)
                };
                let message = detail.unwrap_or_default();
                TrailersOnly::new(status).message(message).into_response()
            } else {
                with_detail(Problem::new(status), detail).into_response()
            };
        };
        let told = Quotas::find(&**error);
        let quotas = told.map(|told| {
            let mut quotas = told.clone();
            spread(&mut quotas, self.late);
            quotas
        });
        let quotas = quotas.as_ref();
        let mut response = if caller.grpc {
            respond_grpc(rejection, quotas, self.late, detail)
        } else {
            self.respond_http(rejection, quotas, caller, detail)
        };
        response.extensions_mut().insert(rejection.clone());
        if let Some((told, quotas)) = told.zip(quotas) {
            // As a layer leaves them that has admitted its call: those further out add theirs.
            response.extensions_mut().insert(told.clone());
            self.write(&mut response, quotas);
        }
        if Tag::may_have_arrived(&**error) {
            response.extensions_mut().insert(Tag::MaybeProcessed);
        }
        response
    }

    fn respond_http(
        &self,
        rejection: &Rejection,
        quotas: Option<&Quotas>,
        caller: Caller,
        detail: Option<String>,
    ) -> Response<Bytes> {
        let kind = rejection.kind();
        let mut problem = Problem::new(http_status(kind))
            .kind(problem_type(kind))
            .title(title(kind))
            .extension("kind", kind.as_str());
        if kind == RejectionKind::RateLimited
            && let Some(quotas) = quotas
        {
            let names = rate_limit::names_violated(quotas);
            problem = problem.extension("violated-policies", names);
        }
        if self.name_layers {
            problem = problem.extension("layer", rejection.layer());
        }
        let mut response = with_detail(problem, detail).into_response::<Bytes>();
        let headers = response.headers_mut();
        if may_come_back(kind) {
            headers.insert(
                RETRY_AFTER,
                retry_after::encode(wait(rejection, quotas, self.late)),
            );
        }
        if caller.http1 && kind == RejectionKind::Draining {
            // The next request of this connection belongs to another instance.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// How many attempts led to an error that nobody is to try again.
fn made_in_vain(error: &BoxError) -> Option<Attempts> {
    match Exhausted::find(&**error) {
        Some(exhausted) => Some(Attempts::new(exhausted.attempts())),
        None if Tag::find(&**error) == Some(Tag::DoNotRetry) => Some(Attempts::new(1)),
        None => None,
    }
}

fn respond_grpc(
    rejection: &Rejection,
    quotas: Option<&Quotas>,
    late: f64,
    detail: Option<String>,
) -> Response<Bytes> {
    let message = detail.map_or_else(|| title(rejection.kind()).into(), Cow::Owned);
    let mut response = TrailersOnly::new(grpc_status(rejection.kind())).message(message);
    if may_come_back(rejection.kind()) {
        response = response.retry_delay(wait(rejection, quotas, late));
    }
    response.into_response()
}
