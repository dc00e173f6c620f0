//! Readiness of both services: the inner service's, unless the next call will be refused whatever it is.

use std::task::Poll;

use seaworthy_kit::deadline::Deadline;
use seaworthy_kit::{BoxError, Control, Refusal, RejectionKind, Share, clock};

use crate::guard::Shared;
use crate::limits::NO_TIME;

/// Asks the inner service, unless the next call will be refused; such a refusal is kept for it.
#[inline]
pub(crate) fn poll<L, E: Into<BoxError>>(
    share: &Share<Shared<L>>,
    refuse_all: bool,
    travelling: impl FnOnce() -> Option<Deadline>,
    inner: impl FnOnce() -> Poll<Result<(), E>>,
    kept: &mut Option<Refusal>,
) -> Poll<Result<(), BoxError>> {
    let control = share.control();
    if (refuse_all || !control.is_normal())
        && let Some(refusal) = sure_refusal(control, refuse_all)
    {
        *kept = Some(refusal);
        return Poll::Ready(Ok(()));
    }
    let ready = inner().map_err(Into::into);
    if ready.is_pending() && kept.is_some() {
        // Who was told "ready" may call, and is refused as it would have been then.
        return Poll::Ready(Ok(()));
    }
    *kept = None;
    // The clock is read only where it makes a difference: `call` reads it for itself.
    let too_late = || travelling().is_some_and(|deadline| deadline.is_over(clock::now()));
    if ready.is_pending() && too_late() && enforces_all(control) {
        *kept = Some(NO_TIME);
        return Poll::Ready(Ok(()));
    }
    ready
}

/// What the next call will be refused with, whatever it is.
#[cold]
fn sure_refusal(control: &Control, refuse_all: bool) -> Option<Refusal> {
    if control.is_draining() {
        Some(Refusal::new(RejectionKind::Draining, None))
    } else {
        (refuse_all && enforces_all(control)).then_some(NO_TIME)
    }
}

/// Where a refusal may be only observed, the call may be made after all, and then the inner service has to be ready.
fn enforces_all(control: &Control) -> bool {
    control.enforced_percent() == 100
}

/// The rejection of the call that a refusal was kept for.
#[cold]
pub(crate) fn refuse<L>(share: &Share<Shared<L>>, kept: &mut Option<Refusal>) -> BoxError {
    let refusal = kept.take().expect("asked for where one is kept");
    share.telemetry.refuse(refusal)
}
