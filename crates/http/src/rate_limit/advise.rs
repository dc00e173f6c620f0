//! What an answer says to a client that paces itself.

use std::any::Any;

use http::StatusCode;
use http::response::Parts;
use seaworthy_core::tempo::Advice;
use seaworthy_kit::{Rejection, clock};

use super::read;
use crate::retry_after;

/// Reads the quotas of requests, and of 429 and 503 when to come back; whether it says the latter.
///
/// A head of another type than [`Parts`] says nothing, and neither does one that an edge further in made of a refusal: that is no word of the server's.
pub fn advise(head: &dyn Any, advice: &mut Advice) -> bool {
    let Some(head) = head.downcast_ref::<Parts>() else {
        return false;
    };
    if head.extensions.get::<Rejection>().is_some() {
        return false;
    }
    read(&head.headers, |quota| {
        if quota.counts_requests {
            advice.quota(quota.remaining, quota.reset, quota.limit);
        }
    });
    let is_busy = matches!(
        head.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let wait = is_busy
        .then(|| retry_after::read(&head.headers, clock::wall))
        .flatten();
    if let Some(wait) = wait {
        advice.wait(wait);
    }
    wait.is_some()
}
