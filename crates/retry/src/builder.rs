//! What can be set about a retry layer, and where its shared policy and budget are made.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use seaworthy_core::budget::BudgetConfig;
use seaworthy_core::{Backoff, RetryPolicy, Throttle};
use seaworthy_kit::budget::BudgetOption;
use seaworthy_kit::failures::Failures;
use seaworthy_kit::{Again, Asked, BoxError, Clock, InvalidConfig, Protocol, Rules, Telemetry};

use crate::gate::{Callbacks, RetryGate, Switches};
use crate::{GivenUp, RetryLayer, Retrying};

/// What a [`RetryLayer`] is built from.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, A, P = Rules> {
    protocol: Protocol<T, A, P>,
    options: Options,
}

/// What does not depend on the protocol.
#[derive(Clone, Debug)]
struct Options {
    name: String,
    max_attempts: u32,
    backoff: Backoff,
    max_delay: Duration,
    min_attempt_time: Duration,
    attempt_timeout: Option<Duration>,
    total_timeout: Option<Duration>,
    budget: BudgetOption,
    throttle: Option<(u32, f64)>,
    switches: Switches,
    failures: Failures,
    callbacks: Callbacks,
    clock: Clock,
}

// ===== impl Builder =====

impl<T, A> Builder<T, A> {
    pub(crate) fn new(name: String, traffic: T, replay: A) -> Self {
        let options = Options {
            name,
            max_attempts: 3,
            backoff: Backoff::default(),
            max_delay: Duration::from_secs(60),
            min_attempt_time: Duration::ZERO,
            attempt_timeout: None,
            total_timeout: None,
            budget: BudgetConfig::default().into(),
            throttle: None,
            switches: Switches::default(),
            failures: Failures::default(),
            callbacks: Callbacks::default(),
            clock: Clock::tokio(),
        };
        Self {
            protocol: Protocol::new(traffic, replay),
            options,
        }
    }
}

impl<T, A, P> Builder<T, A, P> {
    /// When calls are over and how they ended; it is how another classifier is put in. It does not decide what is tried again.
    pub fn traffic<U>(self, traffic: U) -> Builder<U, A, P> {
        self.map(|protocol| protocol.with_traffic(traffic))
    }

    /// How requests are sent again, and which answers ask for it by themselves.
    pub fn replay<B>(self, replay: B) -> Builder<T, B, P> {
        self.map_replay(|_| replay)
    }

    /// Makes at most so many attempts, the first one included. Default: 3.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.options.max_attempts = attempts;
        self
    }

    /// How long to wait before each attempt where the dependency does not say. Default: 100 ms, doubling, at most 60 s, full jitter.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// Never waits for longer than this, whoever asks for it. Default: 60 s.
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.options.max_delay = delay;
        self
    }

    /// Gives up rather than begin an attempt with less than this left before the deadline or the total timeout. Default: zero.
    ///
    /// It must be below [`total_timeout`](Self::total_timeout), or there would never be a second attempt.
    pub const fn min_attempt_time(mut self, time: Duration) -> Self {
        self.options.min_attempt_time = time;
        self
    }

    /// Cuts an attempt short that has not answered after this long, and makes another. Default: none.
    ///
    /// It must be below [`total_timeout`](Self::total_timeout), which would otherwise always be first.
    /// As every timeout here, it counts from the first time that the attempt has nothing to give, and until the head of the response.
    pub fn attempt_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.attempt_timeout = timeout.into();
        self
    }

    /// Limits all attempts and waits together, from the call to the head of the response. Default: none.
    ///
    /// It costs one reading of the clock for each call. A deadline that travels limits the waits in any case.
    pub fn total_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.total_timeout = timeout.into();
        self
    }

    /// How much may be sent again, all calls together: a [`BudgetConfig`], a shared [`Budget`](crate::Budget), or `None`. Default: 20 % of the calls of the last 10 s, plus 10 per second.
    pub fn budget(mut self, budget: impl Into<BudgetOption>) -> Self {
        self.options.budget = budget.into();
        self
    }

    /// Throttles as gRPC clients do (gRFC A6), beside the budget: a failed attempt takes a token, a success gives `token_ratio` of one back, and there are retries while more than half of the tokens are there. Default: off.
    pub const fn throttle(mut self, max_tokens: u32, token_ratio: f64) -> Self {
        self.options.throttle = Some((max_tokens, token_ratio));
        self
    }

    /// Also repeats requests with methods that are not idempotent. Default: no; they need an `Idempotency-Key`, or a word of [`retry_if`](Self::retry_if).
    ///
    /// For gRPC, whose calls are all POST requests, it says that all of them are idempotent.
    pub const fn retry_any_method(mut self, on: bool) -> Self {
        self.options.switches.any_method = on;
        self
    }

    /// Repeats requests that must not be sent twice if the server has not seen the first: the connection was refused, an HTTP/2 server refused the stream (feature `h2`), an error is tagged so, or a layer further in refused the call and [`retry_refusals`](Self::retry_refusals) is on. Default: no.
    ///
    /// It makes every request one of which a copy is kept.
    pub const fn retry_unsent(mut self, on: bool) -> Self {
        self.options.switches.unsent = on;
        self
    }

    /// Also retries what a layer further in refused, as an open circuit, after the time that it names. Default: no.
    ///
    /// A refusal is there to take load away, and a retry brings it back.
    pub const fn retry_refusals(mut self, on: bool) -> Self {
        self.options.failures.refusals(on);
        self
    }

    /// Lets a retry wait until the inner service is ready, instead of giving up if it is not. Default: no.
    ///
    /// A service that is not ready has enough to do. The attempt timeout and the total timeout limit the wait.
    pub const fn wait_for_ready(mut self, on: bool) -> Self {
        self.options.switches.wait_for_ready = on;
        self
    }

    /// Says which errors are worth another attempt, and after how long if it knows: it answers with a `bool` or an [`Again`]. Default: all that a client or a timeout makes, and those with a [`Tag`](crate::Tag) that says so.
    ///
    /// It is not asked about refusals by a layer further in, nor about errors that are not to be tried again by anybody, as those of calls that a retry further in has given up.
    pub fn retry_error<F, O>(mut self, is_transient: F) -> Self
    where
        F: Fn(&BoxError) -> O + Send + Sync + 'static,
        O: Into<Again>,
    {
        self.options.failures.errors(is_transient);
        self
    }

    /// Called before each wait for another attempt.
    pub fn on_retry(mut self, callback: impl Fn(&Retrying<'_>) + Send + Sync + 'static) -> Self {
        self.options.callbacks.on_retry = Some(Arc::new(callback));
        self
    }

    /// Called when a call that was worth another attempt gets none.
    pub fn on_exhausted(mut self, callback: impl Fn(&GivenUp<'_>) + Send + Sync + 'static) -> Self {
        self.options.callbacks.on_exhausted = Some(Arc::new(callback));
        self
    }

    /// Where random numbers come from, each evenly spread over all of `u64`: for tests and simulations that must come out the same each time. Default: a fast generator, seeded for each thread by the system.
    pub fn draw(mut self, draw: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.options.callbacks.draw = Some(Arc::new(draw));
        self
    }

    /// Another clock than tokio's for the decisions; timers are tokio's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.options.clock = clock;
        self
    }

    /// Makes the policy and its budget.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<RetryLayer<T, A, P>, InvalidConfig> {
        let Self { protocol, options } = self;
        let mut policy = RetryPolicy::try_new(options.max_attempts)?
            .backoff(options.backoff)
            .max_delay(options.max_delay)
            .min_attempt_time(options.min_attempt_time);
        if let Some(limit) = options.total_timeout {
            policy = policy.total_time(limit);
        }
        let attempt_timeout = not_zero("attempt_timeout", options.attempt_timeout)?;
        let total_timeout = not_zero("total_timeout", options.total_timeout)?;
        if let (Some(attempt), Some(total)) = (attempt_timeout, total_timeout)
            && attempt >= total
            && total != Duration::MAX
        {
            let option = "attempt_timeout";
            return Err(InvalidConfig::new(option, "must be below total_timeout"));
        }
        if let Some(total) = total_timeout
            && options.min_attempt_time >= total
        {
            let option = "min_attempt_time";
            return Err(InvalidConfig::new(option, "must be below total_timeout"));
        }
        let throttle = options
            .throttle
            .map(|(max_tokens, token_ratio)| Throttle::try_new(max_tokens, token_ratio))
            .transpose()?;
        let gate = RetryGate {
            policy,
            attempt_timeout,
            total_timeout,
            budget: options.budget.make()?,
            throttle,
            switches: options.switches,
            failures: options.failures,
            callbacks: options.callbacks,
            clock: options.clock,
            telemetry: Telemetry::new(LAYER, &options.name),
            retries: AtomicU64::new(0),
            gave_up: AtomicU64::new(0),
        };
        Ok(RetryLayer::new(protocol, gate))
    }

    pub(crate) fn map_replay<B>(self, map: impl FnOnce(A) -> B) -> Builder<T, B, P> {
        self.map(|protocol| protocol.map_replay(map))
    }

    fn map<U, B, O>(
        self,
        map: impl FnOnce(Protocol<T, A, P>) -> Protocol<U, B, O>,
    ) -> Builder<U, B, O> {
        Builder {
            protocol: map(self.protocol),
            options: self.options,
        }
    }
}

impl<T, A, Q, R> Builder<T, A, Rules<Q, R>> {
    /// Says which requests may be sent again, in place of the protocol.
    ///
    /// The closure sees `http::request::Parts`, a `reqwest::Request`, or the plain request; it names the type.
    pub fn retry_if<H, F>(self, may_repeat: F) -> Builder<T, A, Rules<Asked<F>, R>>
    where
        F: Fn(&H) -> bool,
    {
        self.map(|protocol| protocol.requests(may_repeat))
    }

    /// Says which responses ask for another attempt, in place of the protocol, and after how long if it knows: it answers with a `bool` or an [`Again`].
    ///
    /// The closure sees `http::response::Parts`, a `reqwest::Response`, or the plain response; it names the type.
    /// A server that says not to ask again has the last word.
    pub fn retry_response<H, F, O>(self, is_transient: F) -> Builder<T, A, Rules<Q, Asked<F>>>
    where
        F: Fn(&H) -> O,
        O: Into<Again>,
    {
        self.map(|protocol| protocol.responses(is_transient))
    }
}

fn not_zero(
    option: &'static str,
    limit: Option<Duration>,
) -> Result<Option<Duration>, InvalidConfig> {
    if limit.is_some_and(|limit| limit.is_zero()) {
        return Err(InvalidConfig::new(option, "must be above zero"));
    }
    Ok(limit)
}

impl<T, A, P> fmt::Debug for Builder<T, A, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The kind of layer, in metrics and events.
const LAYER: &str = "retry";
