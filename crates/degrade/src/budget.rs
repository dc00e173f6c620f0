//! The error budget: how fast failures use up what an objective allows.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seaworthy_core::error_budget::{self, Burn, ErrorBudgetConfig, Tally};
pub use seaworthy_core::error_budget::{BurnRule, Urgency};
use seaworthy_kit::gate::NoWait;
use seaworthy_kit::service::Gated;
use seaworthy_kit::telemetry::{Event, Report, Subscription, Telemetry};
use seaworthy_kit::{Clock, Gate, InvalidConfig, Moment, Outcome, Plain, Refusal, Share, Verdict};
use tower_layer::Layer;

use crate::LayerHandle;

/// Counts how calls end against an objective; clones are one and the same.
///
/// An [`ErrorBudgetLayer`] counts, and rules of [`Levels`](crate::Levels) look at its [pressure](Self::pressure).
/// What a burn rate is, and which rules there are by default, stands in [`seaworthy_core::error_budget`].
///
/// ```
/// use seaworthy_degrade::budget::Urgency;
/// use seaworthy_degrade::{ErrorBudget, Level, LevelRule, Levels};
///
/// # fn main() -> Result<(), seaworthy_kit::InvalidConfig> {
/// let budget = ErrorBudget::builder("checkout", 0.999).build()?;
/// for call in 0..1000 {
///     budget.record(call % 20 != 0);
/// }
/// assert_eq!(budget.worst(), Some(Urgency::Page));
///
/// // Above one, a rule about the budget fires.
/// let burns = LevelRule::new(Level::Reduced, "burn", 1.0);
/// let signal = budget.clone();
/// let levels = Levels::builder("shop")
///     .rule(burns, move || signal.pressure(Urgency::Page))
///     .build()?;
/// # let _ = levels;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ErrorBudget(Arc<Shared>);

/// What an [`ErrorBudget`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: String,
    config: ErrorBudgetConfig,
    clock: Clock,
}

struct Shared {
    tally: Tally,
    books: Mutex<Books>,
    clock: Clock,
    telemetry: Telemetry,
}

struct Books {
    machine: error_budget::ErrorBudget,
    /// Which of the rules fired when somebody last looked.
    fired: Vec<bool>,
}

// ===== impl ErrorBudget =====

impl ErrorBudget {
    /// A budget of that name: that share of the calls is to end well, 0.999 say.
    ///
    /// At 0.93 and below the first of the default [rules](Builder::rules) can never fire, which is an error when it is built: give others.
    pub fn builder(name: impl Into<String>, objective: f64) -> Builder {
        Builder {
            name: name.into(),
            config: ErrorBudgetConfig::new(objective),
            clock: Clock::tokio(),
        }
    }

    /// Counts a call that ended well, or not: for calls that go through no [`ErrorBudgetLayer`].
    pub fn record(&self, well: bool) {
        self.0.record(well);
    }

    /// What each rule sees now, in the order in which they were given.
    #[must_use]
    pub fn burns(&self) -> Vec<Burn> {
        self.0.look(|machine| machine.burns().collect())
    }

    /// The most urgent of the rules that fire now.
    #[must_use]
    pub fn worst(&self) -> Option<Urgency> {
        self.0.look(error_budget::ErrorBudget::worst)
    }

    /// How close the rules of that urgency are to firing: they fire above one.
    #[must_use]
    pub fn pressure(&self, urgency: Urgency) -> f64 {
        self.0.look(|machine| machine.pressure(urgency))
    }

    /// Which share of the budget is left of the period that ends now; below zero once more failed than may.
    #[must_use]
    pub fn remaining(&self) -> f64 {
        self.0.look(error_budget::ErrorBudget::remaining)
    }

    /// Calls the listener whenever a rule begins to fire or ceases to; see [`Telemetry::subscribe`].
    ///
    /// That is noticed when somebody looks, or when calls end.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.telemetry.subscribe(listener)
    }
}

impl fmt::Debug for ErrorBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorBudget")
            .field("name", &self.0.telemetry.name())
            .finish_non_exhaustive()
    }
}

impl Shared {
    #[inline]
    fn record(&self, well: bool) {
        let now = self.clock.now();
        if self.tally.is_over(now) {
            self.settle(now);
        }
        self.tally.count(well);
    }

    #[cold]
    fn settle(&self, now: Moment) {
        // Who finds it locked comes second: another call books this slot already.
        if let Ok(books) = self.books.try_lock() {
            self.book(books, now, |_| ());
        }
    }

    fn look<R>(&self, look: impl FnOnce(&error_budget::ErrorBudget) -> R) -> R {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        self.book(books, self.clock.now(), look)
    }

    /// Books what was counted, looks, and tells what has changed once the lock is free.
    fn book<R>(
        &self,
        mut books: MutexGuard<'_, Books>,
        now: Moment,
        look: impl FnOnce(&error_budget::ErrorBudget) -> R,
    ) -> R {
        let Books { machine, fired } = &mut *books;
        machine.settle(&self.tally, now);
        let mut changed = Vec::new();
        for (burn, fired) in machine.burns().zip(fired) {
            if burn.fires != *fired {
                *fired = burn.fires;
                changed.push(burn);
            }
        }
        let pressure = [Urgency::Page, Urgency::Ticket].map(|urgency| machine.pressure(urgency));
        let remaining = machine.remaining();
        let seen = look(machine);
        drop(books);
        let [page, ticket] = pressure;
        self.telemetry
            .instruments()
            .set_budget(remaining, page, ticket);
        for burn in changed {
            self.telemetry.report(&Event::BurnChanged {
                urgency: burn.rule.urgency.as_str(),
                factor: burn.rule.factor,
                fires: burn.fires,
            });
        }
        seen
    }
}

// ===== impl Builder =====

impl Builder {
    /// Other rules; at most eight. Default: those of the Site Reliability Workbook.
    pub fn rules(mut self, rules: impl IntoIterator<Item = BurnRule>) -> Self {
        self.config = self.config.rules(rules);
        self
    }

    /// Over which time the budget is meant; from one minute to a year. Default: 30 days, as in the workbook.
    pub fn period(mut self, period: Duration) -> Self {
        self.config = self.config.period(period);
        self
    }

    /// Below how many calls in its short window a rule does not fire. Default: 100, so that a single failure at night does not page.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.config = self.config.min_calls(calls);
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// If an option has a value that cannot work.
    pub fn build(self) -> Result<ErrorBudget, InvalidConfig> {
        let machine = error_budget::ErrorBudget::try_new(self.config)?;
        let fired = machine.burns().map(|burn| burn.fires).collect();
        Ok(ErrorBudget(Arc::new(Shared {
            tally: Tally::new(&machine),
            books: Mutex::new(Books { machine, fired }),
            clock: self.clock,
            telemetry: Telemetry::new(ERROR_BUDGET, &self.name),
        })))
    }
}

// ===== The layer =====

/// Counts how calls end, for an [`ErrorBudget`].
///
/// A success is good, a failure is not, and neither is a refusal by a layer further in: callers see no difference.
/// So a rate limit, whose refusals are the callers' own doing, belongs outside of it.
/// What was abandoned or ignored does not count.
#[derive(Clone)]
pub struct ErrorBudgetLayer<T> {
    traffic: T,
    share: Share<ErrorBudgetGate>,
}

/// The counting of an [`ErrorBudgetLayer`].
#[derive(Debug)]
pub struct ErrorBudgetGate(ErrorBudget);

impl ErrorBudgetLayer<()> {
    /// For services whose response is all there when their future is ready.
    #[must_use]
    pub fn plain(budget: &ErrorBudget) -> ErrorBudgetLayer<Plain> {
        ErrorBudgetLayer::new(budget, Plain::new())
    }

    /// For HTTP and gRPC: a call is over when its response body is.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(budget: &ErrorBudget) -> ErrorBudgetLayer<seaworthy_http::Http> {
        ErrorBudgetLayer::new(budget, seaworthy_http::Http::new())
    }
}

impl<T> ErrorBudgetLayer<T> {
    fn new(budget: &ErrorBudget, traffic: T) -> Self {
        Self {
            traffic,
            share: Share::new(ErrorBudgetGate(budget.clone())),
        }
    }

    /// For a classifier of one's own: `Http::classify(..)`.
    #[must_use]
    pub fn traffic<U>(self, traffic: U) -> ErrorBudgetLayer<U> {
        ErrorBudgetLayer {
            traffic,
            share: self.share,
        }
    }

    /// The view from outside.
    #[must_use]
    pub fn handle(&self) -> LayerHandle<ErrorBudgetGate> {
        LayerHandle::new(self.share.clone())
    }
}

impl<T> fmt::Debug for ErrorBudgetLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorBudgetLayer")
            .field("budget", &self.share.0)
            .finish_non_exhaustive()
    }
}

impl<S, T: Clone> Layer<S> for ErrorBudgetLayer<T> {
    type Service = Gated<S, T, ErrorBudgetGate>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.traffic.clone(), self.share.clone())
    }
}

impl Gate for ErrorBudgetGate {
    type Admission = ();
    type Wait = NoWait<()>;

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn admit_healthy(&self) -> Option<()> {
        Some(())
    }

    fn settle(&self, (): (), verdict: Verdict) {
        match verdict.settled() {
            Outcome::Success => self.0.0.record(true),
            Outcome::Failure => self.0.0.record(false),
            Outcome::Ignored if verdict.is_refusal() => self.0.0.record(false),
            Outcome::Ignored | Outcome::Abandoned => {}
        }
    }

    fn telemetry(&self) -> &Telemetry {
        &self.0.0.telemetry
    }
}

/// The kind of layer, in metrics and events.
const ERROR_BUDGET: &str = "error_budget";
