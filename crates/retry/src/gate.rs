//! What all clones of a retry service share: the policy, the budget and the limits.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use seaworthy_core::{Moment, Previous, RetryPolicy, Throttle};
use seaworthy_kit::budget::Counter;
use seaworthy_kit::failures::Failures;
use seaworthy_kit::front::Open;
use seaworthy_kit::{
    BoxError, Budget, Clock, Control, Event, Refusal, RejectionKind, Telemetry, deadline,
};
use tokio::time::Sleep;

use crate::{GivenUp, Retrying};

/// A retry policy with a clock, a budget and a voice.
///
/// As a [`Gate`](seaworthy_kit::Gate) it admits every call: what is refused is another attempt, and that call ends with the failure it has.
pub struct RetryGate {
    pub(crate) policy: RetryPolicy,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) budget: Option<Budget>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) switches: Switches,
    pub(crate) failures: Failures,
    pub(crate) callbacks: Callbacks,
    pub(crate) clock: Clock,
    pub(crate) telemetry: Telemetry,
    pub(crate) retries: AtomicU64,
    pub(crate) gave_up: AtomicU64,
}

/// Options that are on or off.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Switches {
    pub(crate) any_method: bool,
    pub(crate) unsent: bool,
    pub(crate) wait_for_ready: bool,
}

/// What users hang in.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) on_retry: Option<Arc<dyn Fn(&Retrying<'_>) + Send + Sync>>,
    pub(crate) on_exhausted: Option<Arc<dyn Fn(&GivenUp<'_>) + Send + Sync>>,
    pub(crate) draw: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Attempts begun, the one under way included; not those that the server has not seen.
    pub(crate) attempts: u32,
    /// Attempts that whoever sent the request made before this call.
    pub(crate) before: u32,
    /// When it began, where somebody will ask.
    pub(crate) started: Option<Moment>,
    /// None while nothing of it is so: most calls end before, and need not write what it would be.
    later: Option<Later>,
}

/// What there is to know of a call that is not over with its first attempt, or whose attempt has to wait.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Later {
    /// An attempt that failed may have arrived.
    pub(crate) sent: bool,
    /// An attempt was made again for free, which happens once.
    pub(crate) resent: bool,
    /// The wait before the attempt under way.
    pub(crate) previous: Previous,
    /// How long it has waited between its attempts.
    pub(crate) waited: Duration,
    /// Which limit the timer of the attempt under way stands for.
    limit: &'static str,
    /// Whether the call is only observed; decided when it matters, and once.
    observed: Option<bool>,
    /// A limit was met and only observed: there are no others.
    unlimited: bool,
}

// ===== impl RetryGate: the way of every call =====

impl RetryGate {
    /// A call begins: when, where somebody will ask. Reads the clock once at most.
    #[inline(always)]
    pub(crate) fn begin(
        &self,
        offer: impl FnOnce(&Budget, &mut dyn FnMut() -> Moment),
    ) -> Option<Moment> {
        let mut read = None;
        let mut now = || *read.get_or_insert_with(|| self.clock.now());
        if let Some(budget) = &self.budget {
            offer(budget, &mut now);
        }
        self.total_timeout.is_some().then(now)
    }

    /// Where a service counts its calls.
    pub(crate) fn counter(&self) -> Option<Counter> {
        self.budget.as_ref().map(Budget::counter)
    }

    /// Asked when an attempt has nothing to give yet: whether its time is over. The first time it arms the timer.
    pub(crate) fn poll_limit(
        &self,
        control: &Control,
        mut timer: Pin<&mut Option<Sleep>>,
        progress: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<BoxError> {
        if timer.is_none() {
            let Some((limit, left)) = self.limit(progress) else {
                return Poll::Pending;
            };
            progress.later_mut().limit = limit;
            timer.set(Some(tokio::time::sleep(left)));
        }
        let armed = timer.as_mut().as_pin_mut().expect("armed above");
        ready!(armed.poll(cx));
        timer.set(None);
        if progress.is_observed(control) {
            progress.later_mut().unlimited = true;
            let refusal = Refusal::new(RejectionKind::TimedOut, None);
            self.telemetry.let_through(refusal);
            return Poll::Pending;
        }
        let Later { limit, .. } = progress.later();
        self.telemetry.report(&Event::TimedOut { limit });
        let rejection = self.telemetry.rejection(RejectionKind::TimedOut);
        Poll::Ready(Box::new(rejection))
    }

    /// Asked when the inner service is not ready for another attempt: whether there is no point in waiting on.
    pub(crate) fn poll_patience(
        &self,
        mut timer: Pin<&mut Option<Sleep>>,
        progress: &Progress,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !self.switches.wait_for_ready {
            return Poll::Ready(());
        }
        if timer.is_none() {
            let limit = self.limit(progress).map(|(_, left)| left);
            let Some(left) = limit.into_iter().chain(deadline::remaining()).min() else {
                return Poll::Pending;
            };
            timer.set(Some(tokio::time::sleep(left)));
        }
        let armed = timer.as_mut().as_pin_mut().expect("armed above");
        ready!(armed.poll(cx));
        timer.set(None);
        Poll::Ready(())
    }

    /// The nearest limit of an attempt that begins to wait now.
    fn limit(&self, progress: &Progress) -> Option<(&'static str, Duration)> {
        if progress.later().unlimited {
            return None;
        }
        let attempt = self.attempt_timeout.map(|limit| ("attempt", limit));
        let total = self.total_timeout.map(|limit| {
            let now = self.clock.now();
            let spent = now.since(progress.started.unwrap_or(now));
            ("total", limit.saturating_sub(spent))
        });
        let nearest = match (attempt, total) {
            (Some(attempt), Some(total)) if total.1 <= attempt.1 => Some(total),
            (Some(attempt), _) => Some(attempt),
            (None, total) => total,
        };
        nearest.filter(|&(_, left)| left != Duration::MAX)
    }
}

impl Progress {
    /// That of a call which begins. Made in its place: what is made elsewhere is copied there, and waits for itself.
    #[inline(always)]
    pub(crate) const fn new(started: Option<Moment>, before: u32) -> Self {
        Self {
            attempts: 1,
            before,
            started,
            later: None,
        }
    }

    pub(crate) fn later(&self) -> Later {
        self.later.unwrap_or_default()
    }

    pub(crate) fn later_mut(&mut self) -> &mut Later {
        self.later.get_or_insert_default()
    }

    /// Whether the call goes on as if this layer was not there.
    pub(crate) fn is_observed(&mut self, control: &Control) -> bool {
        *self
            .later_mut()
            .observed
            .get_or_insert_with(|| !control.enforces(seaworthy_kit::draw))
    }
}

impl Open for RetryGate {
    #[inline]
    fn reports_to(&self) -> &Telemetry {
        &self.telemetry
    }
}

impl fmt::Debug for RetryGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryGate")
            .field("name", &self.telemetry.name())
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .field("throttle", &self.throttle)
            .field("switches", &self.switches)
            .finish_non_exhaustive()
    }
}

impl Callbacks {
    pub(crate) fn draw(&self) -> u64 {
        self.draw
            .as_ref()
            .map_or_else(seaworthy_kit::draw, |it| it())
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}
