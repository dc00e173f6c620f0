//! One call's hold on what its layer shares, which reports its end exactly once.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seaworthy_kit::share::Held;
use seaworthy_kit::{BoxError, Outcome};

use crate::exchange::Answer;
use crate::phase::Phase;
use crate::refused::Refused;
use crate::shared::Shared;

/// A call under way: dropped before its end was reported, it was abandoned, or its handler has panicked.
pub(crate) struct Entry<D, E> {
    shared: Held<Shared<D, E>>,
    settled: AtomicBool,
    pub(crate) phase: Arc<Phase>,
}

// ===== impl Entry =====

impl<D, E> Entry<D, E> {
    pub(crate) const fn new(shared: Held<Shared<D, E>>, phase: Arc<Phase>) -> Self {
        Self {
            shared,
            settled: AtomicBool::new(false),
            phase,
        }
    }

    /// The call is over; what comes later, such as a winner's answer for its caller, counts no more.
    pub(crate) fn settle(&self, outcome: Outcome) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.shared.telemetry.ended(outcome);
        }
    }

    /// The call was refused, which is reported by itself.
    pub(crate) fn set_settled(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }
}

impl<D, E> Deref for Entry<D, E> {
    type Target = Shared<D, E>;

    fn deref(&self) -> &Shared<D, E> {
        &self.shared
    }
}

impl<D, E> Drop for Entry<D, E> {
    fn drop(&mut self) {
        self.settle(if std::thread::panicking() {
            Outcome::Failure
        } else {
            Outcome::Abandoned
        });
    }
}

impl<D, E> fmt::Debug for Entry<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(..)")
    }
}

impl<D, E> Shared<D, E> {
    /// Refuses a request, and reports why.
    pub(crate) fn refuse_at_once<Res, C>(
        &self,
        refused: Refused,
        caller: C,
    ) -> Result<E::Response, BoxError>
    where
        E: Answer<Res, C>,
    {
        self.report(refused.result());
        self.exchange.refuse(refused, caller, &self.telemetry)
    }
}
