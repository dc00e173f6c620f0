//! The guard of one call: it knows when the call is to be cut, cuts its body, and reports its end exactly once.

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::{
    BoxError, Event, Held, Moment, Outcome, Refusal, RejectionKind, Seldom, Settle, Telemetry,
    Verdict, clock,
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{Limit, NO_TIME, Terms};
use crate::response::ResponseFuture;

/// What all services of one layer share: its rules and its voice.
#[derive(Debug)]
pub struct Shared<L> {
    pub(crate) rules: L,
    pub(crate) telemetry: Telemetry,
    timeouts: AtomicU64,
}

impl<L> Shared<L> {
    pub(crate) const fn new(rules: L, telemetry: Telemetry) -> Self {
        Self {
            rules,
            telemetry,
            timeouts: AtomicU64::new(0),
        }
    }

    /// How many calls were cut short so far.
    pub(crate) fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }
}

/// One call that has begun.
///
/// Settles exactly once: by [`Settle::settle`], or when it is dropped, as abandoned, or as failed if the thread is panicking.
#[must_use]
pub struct Guard<L> {
    begun: Begun<L>,
    terms: Terms,
    /// Whether the call is cut when its time is up, or only reported.
    enforced: bool,
    /// When the call first had to wait; limits count from there. [`Moment::NEVER`] until then.
    started: Moment,
    /// Which limit ends the wait that is under way; `None` while there is nothing to wait for.
    waiting: Option<Limit>,
    /// Boxed, because the body that it is moved into must stay `Unpin`; and only once a body had to wait.
    timer: Seldom<Pin<Box<Sleep>>>,
}

/// What the rules of a layer say about all of its calls.
#[expect(
    unnameable_types,
    reason = "whoever names the guard need not name what its rules say"
)]
pub trait Scope: Send + Sync + 'static {
    /// Whether a call runs inside of its deadline, so that everything in it sees what is left.
    const OPENS: bool;
}

/// The part of a guard that reports the end.
///
/// A value of its own, because it is one word: while the inner service is called only this must be in memory, for its drop, and the rest of the guard need not be.
struct Begun<L>(
    /// `None` once it is over.
    Option<Held<Shared<L>>>,
);

impl<L> Begun<L> {
    #[inline(always)]
    fn end(self, outcome: Outcome) {
        // What is left of it has nothing to drop.
        let mut this = ManuallyDrop::new(self);
        if let Some(held) = this.0.take() {
            held.telemetry.ended(outcome);
            held.release();
        }
    }

    #[inline]
    fn shared(&self) -> &Shared<L> {
        self.0.as_ref().expect("there until the call is over")
    }
}

impl<L: Scope> Guard<L> {
    /// Lets a call begin under the terms that it gets, or refuses it.
    #[inline(always)]
    pub(crate) fn admit(
        held: Held<Shared<L>>,
        terms: impl FnOnce(&L) -> Option<Terms>,
    ) -> Result<Self, BoxError> {
        if !held.control().is_normal() {
            return Self::admit_switched(held, terms);
        }
        match terms(&held.rules) {
            Some(terms) => Ok(Self::new(held, terms)),
            None => Err(Self::refuse(&held, NO_TIME)),
        }
    }

    /// The same where the layer drains, or where not all refusals are enforced.
    #[inline(never)]
    pub(crate) fn admit_switched(
        held: Held<Shared<L>>,
        terms: impl FnOnce(&L) -> Option<Terms>,
    ) -> Result<Self, BoxError> {
        if held.control().is_draining() {
            return Err(Self::refuse(
                &held,
                Refusal::new(RejectionKind::Draining, None),
            ));
        }
        // Decided once for the whole call: one that is only observed is left alone to its end.
        let enforced = held.control().enforces(seaworthy_kit::draw);
        let terms = match terms(&held.rules) {
            Some(terms) => terms,
            None if enforced => return Err(Self::refuse(&held, NO_TIME)),
            None => {
                held.telemetry.let_through(NO_TIME);
                Terms::NONE
            }
        };
        Ok(Self::begin(Begun(Some(held)), terms, enforced))
    }

    /// The guard of a call that begins.
    #[inline(always)]
    pub(crate) const fn new(held: Held<Shared<L>>, terms: Terms) -> Self {
        Self::begin(Begun(Some(held)), terms, true)
    }

    #[inline(always)]
    const fn begin(begun: Begun<L>, terms: Terms, enforced: bool) -> Self {
        Self {
            begun,
            terms,
            enforced,
            started: Moment::NEVER,
            waiting: None,
            timer: Seldom::new(None),
        }
    }

    /// The rejection of a call that was refused.
    #[cold]
    pub(crate) fn refuse(held: &Held<Shared<L>>, refusal: Refusal) -> BoxError {
        held.telemetry.refuse(refusal)
    }

    /// The deadline that the call runs inside of; a call that is only observed is not told of it.
    #[inline(always)]
    const fn scope(&self) -> Deadline {
        if L::OPENS && self.enforced {
            self.terms.deadline
        } else {
            Deadline::NEVER
        }
    }

    /// Opens the scope of the call's deadline on this thread, if it has one.
    #[inline(always)]
    pub(crate) fn enter(&self) -> deadline::Entered {
        deadline::enter(self.scope())
    }

    /// Makes the inner call of a guard that is new; a panic in there does not lose the end of this one.
    #[inline(always)]
    pub(crate) fn run<F, T>(self, call: impl FnOnce() -> F, traffic: T) -> ResponseFuture<F, T, L> {
        let entered = self.enter();
        // In parts, each of which stays in a register or a word.
        let Self {
            begun,
            terms,
            enforced,
            ..
        } = self;
        let future = call();
        drop(entered);
        let guard = Self::begin(begun, terms, enforced);
        ResponseFuture::running(future, guard, traffic)
    }

    /// Whether a wait is under way whose end is known.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// A wait begins: when it is to be cut, if ever.
    pub(crate) fn wait(&mut self, phase: Limit) -> Option<Instant> {
        // Where nothing counts from now the clock is not read: whatever moment "never" is added to, it stays never.
        let now = if self.terms.counts_from(phase) {
            clock::now()
        } else {
            Moment::ORIGIN
        };
        if self.started == Moment::NEVER {
            self.started = now;
        }
        let (at, limit) = self.terms.cut(phase, self.started, now);
        self.waiting = Some(limit);
        (at != Moment::NEVER).then(|| clock::instant(at))
    }

    /// The time is up: the error that ends the call, or `None` where limits are only observed.
    #[cold]
    pub(crate) fn cut(&mut self) -> Option<BoxError> {
        let shared = self.begun.shared();
        if !self.enforced {
            let refusal = Refusal::new(RejectionKind::TimedOut, None);
            shared.telemetry.let_through(refusal);
            // Reported once, and then left alone.
            self.terms = Terms::NONE;
            return None;
        }
        shared.timeouts.fetch_add(1, Ordering::Relaxed);
        let limit = self.waiting.unwrap_or(Limit::Deadline).as_str();
        shared.telemetry.report(&Event::TimedOut { limit });
        Some(Box::new(
            shared.telemetry.rejection(RejectionKind::TimedOut),
        ))
    }
}

impl<L: Scope> Settle for Guard<L> {
    #[inline(always)]
    fn settle(self, verdict: Verdict) {
        let Self { begun, timer, .. } = self;
        drop(timer);
        begun.end(verdict.settled());
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        if !self.is_waiting() {
            match (self.wait(Limit::Idle), &mut *self.timer) {
                (None, timer) => *timer = None,
                (Some(at), Some(timer)) if timer.deadline() == at => {}
                (Some(at), Some(timer)) => timer.as_mut().reset(at),
                (Some(at), timer) => *timer = Some(Box::pin(sleep_until(at))),
            }
        }
        let Some(timer) = &mut *self.timer else {
            return Poll::Pending;
        };
        ready!(timer.as_mut().poll(cx));
        self.timer.clear();
        match self.cut() {
            Some(error) => Poll::Ready(error),
            None => Poll::Pending,
        }
    }

    #[inline]
    fn progress(&mut self) {
        self.waiting = None;
    }

    #[inline]
    fn around<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        poll()
    }
}

impl<L> Drop for Begun<L> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            end_unsettled(held);
        }
    }
}

/// A panic of the inner service unwinds through here and is its failure; anything else that drops a call gave it up.
#[cold]
#[expect(clippy::needless_pass_by_value, reason = "the call is over")]
fn end_unsettled<L>(held: Held<Shared<L>>) {
    held.telemetry.ended(if std::thread::panicking() {
        Outcome::Failure
    } else {
        Outcome::Abandoned
    });
}

impl<L> fmt::Debug for Guard<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("layer", &self.begun.shared().telemetry.name())
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}
