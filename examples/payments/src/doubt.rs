//! Whether a card may have been charged though nobody said so: what keeps `declined` and `failed` honest.

use std::{
    error::Error,
    iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
};
use hyper_util::client::legacy;
use seaworthy::BoxError;
use tower::{Service, ServiceExt};

use crate::stack::Attempt;

/// Of one charge, in all of its attempts; shared by its clones. It goes along with each attempt, in
/// its extensions, since only below the retry, the bulkhead and the time limit is it known whether
/// the gateway was asked.
///
/// Once there, it stays: a gateway that says no to the second attempt may be charging for the first,
/// which may still be under way beside it. So the attempts are counted that have not been told no.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubt(Arc<AtomicU64>);

// ===== impl Doubt =====

impl Doubt {
    /// Whether something from before this charge leaves one.
    pub(crate) fn new(from_before: bool) -> Self {
        Self(Arc::new(AtomicU64::new(from_before.into())))
    }

    /// Whether the card may have been charged.
    pub(crate) fn remains(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

/// Sends an attempt to the gateway. From then on the charge is in doubt, also where the future is
/// dropped, until an answer says that nothing was charged.
pub(crate) async fn ask<S>(gateway: S, attempt: Attempt) -> Result<Response, BoxError>
where
    S: Service<Attempt>,
    S::Response: IntoResponse,
    S::Error: Into<BoxError>,
{
    let doubt = attempt.extensions().get().cloned();
    let Doubt(doubt) = doubt.unwrap_or_default();
    doubt.fetch_add(1, Relaxed);
    let answer = gateway.oneshot(attempt).await;
    let answer = answer.map(S::Response::into_response).map_err(Into::into);
    let says_no = match &answer {
        Ok(answer) => is_no(answer),
        Err(error) => never_connected(&**error),
    };
    if says_no {
        doubt.fetch_sub(1, Relaxed);
    }
    answer
}

/// In a 503 of the gateway: `no` says that it did not charge the card, and will not.
pub(crate) const CHARGED: HeaderName = HeaderName::from_static("charged");

/// Whether this answer says that the card was not charged.
///
/// A 500 may come from behind the charge, 502, 504 and 408 from a proxy that knows no better than we
/// do, and so may a 503: many a proxy answers it when the gateway hangs up on it, charge in hand. 409
/// says that the same charge is being made, and 303 even that it is done. After a 2xx it depends on
/// the body.
fn is_no(answer: &Response) -> bool {
    match answer.status() {
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => false,
        StatusCode::SERVICE_UNAVAILABLE => {
            let charged = answer.headers().get(CHARGED);
            charged.is_some_and(|charged| charged == "no")
        }
        status => status.is_client_error(),
    }
}

/// Whether a call ended before there was a connection: after that, the charge may have arrived, and
/// only its answer not.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<legacy::Error>())
        .any(legacy::Error::is_connect)
}
