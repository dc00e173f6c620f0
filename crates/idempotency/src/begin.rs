//! From a claim to the right to run, or to what is there instead.

use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::clock;
use tokio::time::{Instant, sleep};

use crate::phase::Phase;
use crate::refused::Refused;
use crate::shared::Shared;
use crate::steps::within;
use crate::store::{Claim, Claimed, Store, StoreErrorKind, Token};

/// What a claim led to.
pub(crate) enum Begun {
    Run { token: Token, attempt: u32 },
    Replay { answer: Bytes, left: Duration },
    Refused(Refused),
    StoreDown(StoreErrorKind),
}

impl<D: Store, E> Shared<D, E> {
    /// Claims, and waits for another's run where that is asked for.
    ///
    /// While it waits, nothing is claimed, and dropping it costs nothing.
    pub(crate) async fn begin(&self, phase: &Phase, claim: Claim) -> Begun {
        let mut waiter = None;
        let mut pause = MIN_PAUSE;
        loop {
            phase.hold();
            let claimed = self.claim(claim).await;
            let left = match claimed {
                Err(error) => return Begun::StoreDown(error.kind()),
                Ok(Claimed::Run { token, attempt }) => return Begun::Run { token, attempt },
                Ok(Claimed::Completed { answer, left }) => return Begun::Replay { answer, left },
                Ok(Claimed::Unknown { .. }) => return Begun::Refused(Refused::OutcomeUnknown),
                Ok(Claimed::Mismatch) => return Begun::Refused(Refused::KeyReused),
                Ok(Claimed::Running { left }) => left,
            };
            phase.let_go();
            let in_progress = Begun::Refused(Refused::InProgress {
                after: left.min(self.rules.max_retry_after),
            });
            if waiter.is_none() {
                waiter = Waiter::new(self);
            }
            let Some(waiter) = &waiter else {
                return in_progress;
            };
            let limit = waiter.until.saturating_duration_since(Instant::now());
            if limit.is_zero() || phase.has_left() {
                return in_progress;
            }
            // Not longer than the lease: the end of a lease wakes nobody.
            let limit = limit.min(left.max(MIN_PAUSE));
            let wait = self.store.wait(claim.key, limit);
            let began = Instant::now();
            // A store that fails to wait is asked again after a pause, as is one that comes back at once.
            let _ = within(limit.saturating_add(self.rules.store_timeout), wait).await;
            if began.elapsed() < MIN_PAUSE {
                sleep(pause.min(limit)).await;
                pause = (pause * 2).min(MAX_PAUSE);
            } else {
                pause = MIN_PAUSE;
            }
        }
    }
}

/// One who waits for another's run.
struct Waiter<'a, D, E> {
    shared: &'a Shared<D, E>,
    until: Instant,
}

impl<'a, D, E> Waiter<'a, D, E> {
    fn new(shared: &'a Shared<D, E>) -> Option<Self> {
        if shared.rules.wait.is_zero() || !shared.waiting.take() {
            return None;
        }
        // Saturating: a wait may be as long as a `Duration` can be.
        let until = clock::instant(clock::now() + shared.rules.wait);
        Some(Self { shared, until })
    }
}

impl<D, E> Drop for Waiter<'_, D, E> {
    fn drop(&mut self) {
        self.shared.waiting.give_back();
    }
}

/// What a store that comes back at once is given, so that a wait is not a loop.
const MIN_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(250);
