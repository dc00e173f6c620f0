//! Readiness of both services: the inner service's, unless the next call will be refused whatever it is.

use std::task::Poll;

use seaworthy_kit::deadline::Deadline;
use seaworthy_kit::{BoxError, Refusal, RejectionKind, Share, clock};

use crate::guard::Shared;
use crate::limits::NO_TIME;

/// Asks the inner service, unless the next call will be refused; such a refusal is kept for it.
pub(crate) fn poll<L, E: Into<BoxError>>(
    share: &Share<Shared<L>>,
    refuse_all: bool,
    travelling: impl FnOnce() -> Option<Deadline>,
    inner: impl FnOnce() -> Poll<Result<(), E>>,
    kept: &mut Option<Refusal>,
) -> Poll<Result<(), BoxError>> {
    let control = share.control();
    // Where a refusal may be only observed, the call may be made after all, and then the inner service has to be ready.
    let enforced = || control.enforced_percent() == 100;
    *kept = if control.is_draining() {
        Some(Refusal::new(RejectionKind::Draining, None))
    } else {
        (refuse_all && enforced()).then_some(NO_TIME)
    };
    if kept.is_some() {
        return Poll::Ready(Ok(()));
    }
    let ready = inner().map_err(Into::into);
    // The clock is read only where it makes a difference: `call` reads it for itself.
    let too_late = || travelling().is_some_and(|deadline| deadline.is_over(clock::now()));
    if ready.is_pending() && too_late() && enforced() {
        *kept = Some(NO_TIME);
        return Poll::Ready(Ok(()));
    }
    ready
}
