//! What can be set about a hedging layer, and where its shared delay and budget are made.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use seaworthy_core::budget::BudgetConfig;
use seaworthy_core::hedge::{Tail, TailConfig};
use seaworthy_kit::budget::BudgetOption;
use seaworthy_kit::failures::Failures;
use seaworthy_kit::keyed::{Keyed, KeyedLayer};
use seaworthy_kit::{
    Again, Asked, BoxError, Budget, Clock, InvalidConfig, Protocol, Rules, Telemetry,
};

use crate::HedgeLayer;
use crate::delay::{Delay, Kind, Percentile};
use crate::gate::{Counters, Draws, HedgeGate, Pace};
use crate::latency::Latency;

/// What a [`HedgeLayer`] is built from.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, A, P = Rules> {
    name: String,
    protocol: Protocol<T, A, P>,
    options: Options,
}

/// What all gates of a layer have in common.
#[derive(Clone, Debug)]
struct Options {
    delay: Delay,
    max_hedges: u32,
    max_late: Late,
    min_attempt_time: Duration,
    budget: BudgetOption,
    retry_budget: Option<Budget>,
    any_method: bool,
    wait_for_ready: bool,
    failures: Failures,
}

/// Up to which share of late calls there are hedges.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Late {
    Default,
    Most(f64),
    Any,
}

/// How many hedges one call may have at most: more attempts than five at a time help nobody (gRPC has the same limit).
const MOST_HEDGES: u32 = 4;

// ===== impl Builder =====

impl<T, A> Builder<T, A> {
    pub(crate) fn new(name: String, traffic: T, replay: A) -> Self {
        let options = Options {
            delay: Percentile::new(0.95).into(),
            max_hedges: 1,
            max_late: Late::Default,
            min_attempt_time: Duration::ZERO,
            // No floor: it would be extra load whatever the traffic.
            budget: BudgetConfig::default().share(0.05).floor(0).into(),
            retry_budget: None,
            any_method: false,
            wait_for_ready: false,
            failures: Failures::default(),
        };
        Self {
            name,
            protocol: Protocol::new(traffic, replay),
            options,
        }
    }
}

impl<T, A, P> Builder<T, A, P> {
    /// When calls are over and how they ended; it is how another classifier is put in. It does not decide which attempt wins.
    pub fn traffic<U>(self, traffic: U) -> Builder<U, A, P> {
        self.map(|protocol| protocol.with_traffic(traffic))
    }

    /// How requests are sent again, and which answers are failures.
    pub fn replay<B>(self, replay: B) -> Builder<T, B, P> {
        self.map_replay(|_| replay)
    }

    /// How long an attempt runs before another is sent beside it: a `Duration`, a [`Percentile`] of the latencies seen, or `None` for hedges after failures only. Default: the 95th percentile of the last 60 s, once there were 100 calls.
    ///
    /// It counts from the first time that the attempt has nothing to give.
    /// A percentile follows the dependency, and costs a call that has to wait a second reading of the clock, unless there are more calls than it needs.
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.options.delay = delay.into();
        self
    }

    /// Sends at most so many hedges for one call, each a delay after the one before. Default: 1, at most 4.
    pub const fn max_hedges(mut self, hedges: u32) -> Self {
        self.options.max_hedges = hedges;
        self
    }

    /// How many hedges there may be, all calls together: a [`BudgetConfig`], a [`Budget`] shared with other hedging layers, or `None`. Default: 5 % of the calls of the last 10 s, and no floor, so that there are 20 calls for each hedge.
    ///
    /// A call counts once, whatever becomes of it, and only if it may be hedged.
    pub fn budget(mut self, budget: impl Into<BudgetOption>) -> Self {
        self.options.budget = budget.into();
        self
    }

    /// Also draws on the budget of the retry layer outside, so that retries and hedges together stay within it. Default: none.
    ///
    /// Calls are not counted in it: the retry layer has done so, and its retries must not pay for hedges.
    pub fn retry_budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.options.retry_budget = budget.into();
        self
    }

    /// The same where none is set yet: for what puts layers together.
    pub fn or_retry_budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        let known = self.options.retry_budget;
        self.options.retry_budget = known.or_else(|| budget.into());
        self
    }

    /// Sends no hedge to slow calls while more than this share of the calls of the last 10 s are slow; `None` for whatever share. Default: 0.2, or twice the share that is above the percentile if that is more; none if the delay is zero.
    ///
    /// Then slow is the rule and no tail: the dependency has too much to do, and a hedge is more of it.
    /// It needs 20 calls to tell.
    pub fn max_late(mut self, share: impl Into<Option<f64>>) -> Self {
        self.options.max_late = share.into().map_or(Late::Any, Late::Most);
        self
    }

    /// Sends no hedge with less than this left before the deadline that travels. Default: zero; none is sent after it.
    pub const fn min_attempt_time(mut self, time: Duration) -> Self {
        self.options.min_attempt_time = time;
        self
    }

    /// Also hedges requests with methods that are not idempotent. Default: no; they need an `Idempotency-Key`, or a word of [`hedge_if`](Self::hedge_if).
    ///
    /// For gRPC, whose calls are all POST requests, it says that all of them are idempotent.
    pub const fn hedge_any_method(mut self, on: bool) -> Self {
        self.options.any_method = on;
        self
    }

    /// Lets a hedge wait until the inner service is ready for it, beside the attempts under way, instead of not sending it. Default: no.
    ///
    /// A service that is not ready has enough to do, and a hedge that waits takes the place of somebody's first attempt.
    pub const fn wait_for_ready(mut self, on: bool) -> Self {
        self.options.wait_for_ready = on;
        self
    }

    /// Says which errors are worth another try at once: it answers with a `bool` or an [`Again`], of which a time is a no. Default: all that a client or a timeout makes, and those with a [`Tag`](crate::Tag) that says so.
    ///
    /// It is not asked about refusals by a layer further in, nor about errors that are not to be tried again by anybody.
    pub fn hedge_error<F, O>(mut self, is_transient: F) -> Self
    where
        F: Fn(&BoxError) -> O + Send + Sync + 'static,
        O: Into<Again>,
    {
        self.options.failures.errors(is_transient);
        self
    }

    /// Makes the delay and the budget.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<HedgeLayer<T, A, P>, InvalidConfig> {
        let gate = self.options.gate(Telemetry::new(LAYER, &self.name))?;
        Ok(HedgeLayer::new(self.protocol, gate))
    }

    /// Makes a layer with a delay and a budget for each key of a request, as the host that is called, of which it keeps at most `max_keys`.
    ///
    /// An upstream that is slow by nature is then no reason to hedge, and one with a long tail does not use up what the others have.
    /// A [`Budget`] that is given to the builder is one for all keys.
    ///
    /// A key that nobody used for as long as latencies count (the window of a [`Percentile`], else a minute) is forgotten in the background, and sooner where others need its room; not one that is in use, or whose hedges were switched off.
    /// Until then it costs some 30 KB with a percentile, most of which are its latencies, and 5 KB without.
    /// [`HedgeHandle::from`](crate::HedgeHandle) makes a handle of what the layer's own handle finds for a key.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed<K, F>(
        self,
        max_keys: NonZeroUsize,
        key: F,
    ) -> Result<HedgeLayer<T, A, P, Keyed<HedgeGate, K, F>>, InvalidConfig>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.keyed_with_label(max_keys, key, |_| None)
    }

    /// As [`keyed`](Self::keyed), with a label for the metrics of each key.
    ///
    /// The labels must be few: every one is a time series for ever. Keys without one share the layer's.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed_with_label<K, F, L>(
        self,
        max_keys: NonZeroUsize,
        key: F,
        label: L,
    ) -> Result<HedgeLayer<T, A, P, Keyed<HedgeGate, K, F>>, InvalidConfig>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        L: Fn(&K) -> Option<String> + Send + Sync + 'static,
    {
        let telemetry = Telemetry::new(LAYER, &self.name);
        let options = self.options;
        let idle = options.delay.window().unwrap_or(IDLE);
        let make = move |_: Option<&K>, telemetry, _| options.gate(telemetry);
        let keyed = KeyedLayer::labelled((), max_keys, key, telemetry, label, make)?;
        // What is left of it by then is a budget of nothing.
        let keyed = keyed.forget_idle_every(idle);
        Ok(HedgeLayer::by_key(self.protocol, keyed.into_source()))
    }

    pub(crate) fn map_replay<B>(self, map: impl FnOnce(A) -> B) -> Builder<T, B, P> {
        self.map(|protocol| protocol.map_replay(map))
    }

    fn map<U, B, O>(
        self,
        map: impl FnOnce(Protocol<T, A, P>) -> Protocol<U, B, O>,
    ) -> Builder<U, B, O> {
        Builder {
            name: self.name,
            protocol: map(self.protocol),
            options: self.options,
        }
    }
}

impl<T, A, Q, R> Builder<T, A, Rules<Q, R>> {
    /// Says which requests may be sent twice at a time, in place of the protocol.
    ///
    /// The closure sees `http::request::Parts`, a `reqwest::Request`, or the plain request; it names the type.
    pub fn hedge_if<H, F>(self, may_repeat: F) -> Builder<T, A, Rules<Asked<F>, R>>
    where
        F: Fn(&H) -> bool,
    {
        self.map(|protocol| protocol.requests(may_repeat))
    }

    /// Says which responses are failures worth another try, in place of the protocol: it answers with a `bool` or an [`Again`].
    ///
    /// The closure sees `http::response::Parts`, a `reqwest::Response`, or the plain response; it names the type.
    pub fn hedge_response<H, F, O>(self, is_transient: F) -> Builder<T, A, Rules<Q, Asked<F>>>
    where
        F: Fn(&H) -> O,
        O: Into<Again>,
    {
        self.map(|protocol| protocol.responses(is_transient))
    }
}

// ===== impl Options =====

impl Options {
    fn gate(&self, telemetry: Telemetry) -> Result<HedgeGate, InvalidConfig> {
        if !(1..=MOST_HEDGES).contains(&self.max_hedges) {
            return Err(InvalidConfig::new("max_hedges", "must be between 1 and 4"));
        }
        let pace = match self.delay.0 {
            Kind::Fixed(delay) => Pace::Fixed(delay),
            Kind::Percentile(percentile) => Pace::Live(Box::new(Latency::try_new(percentile)?)),
            Kind::Never => Pace::Never,
        };
        let tail = match self.tail_config()? {
            Some(config) => Some(Mutex::new(Tail::try_new(config)?)),
            None => None,
        };
        let is_own = self.budget.is_own();
        let (meter, budget) = match self.budget.clone().make()? {
            Some(budget) if is_own => (budget, Draws::Own),
            Some(budget) => (Budget::default(), Draws::Shared(budget)),
            None => (Budget::default(), Draws::Nothing),
        };
        Ok(HedgeGate {
            max_hedges: self.max_hedges,
            pace,
            min_attempt_time: self.min_attempt_time,
            counters: Counters::new(&meter, &budget),
            meter,
            budget,
            retry_budget: self.retry_budget.clone(),
            tail,
            any_method: self.any_method,
            wait_for_ready: self.wait_for_ready,
            failures: self.failures.clone(),
            clock: Clock::tokio(),
            telemetry,
            enabled: AtomicBool::new(true),
            hedges: AtomicU64::new(0),
            won: AtomicU64::new(0),
            withheld: AtomicU64::new(0),
        })
    }

    fn tail_config(&self) -> Result<Option<TailConfig>, InvalidConfig> {
        // What is above the percentile is late by definition.
        let expected = match self.delay.0 {
            Kind::Percentile(percentile) => 1.0 - percentile.share,
            Kind::Fixed(_) | Kind::Never => 0.0,
        };
        let most = match self.max_late {
            Late::Any => return Ok(None),
            Late::Default if self.delay == Delay::from(Duration::ZERO) => return Ok(None),
            Late::Default => (2.0 * expected).clamp(0.2, 1.0),
            Late::Most(share) if share > expected && share <= 1.0 => share,
            Late::Most(_) => {
                return Err(InvalidConfig::new(
                    "max_late",
                    "must be at most 1.0, and above the share that a percentile leaves",
                ));
            }
        };
        Ok(Some(TailConfig::default().most(most)))
    }
}

impl<T, A, P> fmt::Debug for Builder<T, A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A key that nobody used for so long has nothing to remember: budget and share of late calls are of 10 s.
const IDLE: Duration = Duration::from_secs(60);

/// The kind of layer, in metrics and events.
const LAYER: &str = "hedge";
