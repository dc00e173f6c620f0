//! The handle: see what the retries do, and run plain functions with them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use seaworthy_core::Throttle;
use seaworthy_kit::budget::Counter;
use seaworthy_kit::failures::Seen;
use seaworthy_kit::{
    BoxError, Budget, Control, ErrorsAsFailures, Gate, Guard, Plain, Report, Settle, Share,
    Subscription, Verdict, verdict,
};
use tokio::time::Sleep;

use crate::Reason;
use crate::gate::{Progress, RetryGate};

/// A view of one retry layer: cheap to clone, valid for as long as anybody holds it.
#[derive(Clone, Debug)]
pub struct RetryHandle {
    share: Share<RetryGate>,
    counter: Option<Counter>,
}

/// What a retry layer is doing at one moment.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the user gave the layer.
    pub name: String,
    /// How many attempts a call may have, the first one included.
    pub max_attempts: u32,
    /// How long an attempt may take; `None` for ever.
    pub attempt_timeout: Option<Duration>,
    /// How long all attempts and waits may take together; `None` for ever.
    pub total_timeout: Option<Duration>,
    /// How much of the budget is left, from 0 to 1; `None` without one.
    pub budget_remaining: Option<f64>,
    /// How many throttling tokens there are; `None` without them.
    pub throttle_tokens: Option<f64>,
    /// How many retries there have been, ever.
    pub retries: u64,
    /// How many calls that were worth another attempt got none, ever.
    pub gave_up: u64,
    /// Calls under way.
    pub in_flight: usize,
}

impl RetryHandle {
    pub(crate) const fn new(share: Share<RetryGate>, counter: Option<Counter>) -> Self {
        Self { share, counter }
    }

    pub(crate) const fn share(&self) -> &Share<RetryGate> {
        &self.share
    }

    /// Calls the listener at every event of this layer, on the thread where it happens.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.share.telemetry().subscribe(listener)
    }

    /// Observe-only and enforcement by share; ends a drain.
    ///
    /// A call that is only observed is made once, without limits, and fails as it would without this layer; what would have happened is told as `gave_up`, with the reason `observed` where there would have been another attempt.
    /// Whether a call is only observed is decided when that first matters, and then holds to its end.
    #[must_use]
    pub fn control(&self) -> &Control {
        self.share.control()
    }

    /// Refuses new calls from now on, and is ready when those under way have ended, with all their attempts.
    ///
    /// # Cancel safety
    /// Dropping the future stops the wait; new calls stay refused until [`Control::resume`].
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.share.drain()
    }

    /// Registers the layer's metrics now, so that a scrape before the first call shows it.
    pub fn publish(&self) {
        let instruments = self.share.telemetry().instruments();
        instruments.publish(&[]);
        instruments.publish_retries();
    }

    /// What the retries draw on, if there is a budget: for a hedge inside, as its `retry_budget`.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        self.share.budget.clone()
    }

    /// What the layer is doing now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let gate = &*self.share;
        let now = gate.clock.now();
        Snapshot {
            name: gate.telemetry().name().to_owned(),
            max_attempts: gate.policy.max_attempts(),
            attempt_timeout: gate.attempt_timeout,
            total_timeout: gate.total_timeout,
            budget_remaining: gate.budget.as_ref().map(|it| it.remaining_ratio(now)),
            throttle_tokens: gate.throttle.as_ref().map(Throttle::tokens),
            retries: gate.retries.load(Ordering::Relaxed),
            gave_up: gate.gave_up.load(Ordering::Relaxed),
            in_flight: self.share.in_flight(),
        }
    }

    /// Runs a function until it succeeds or is given up: no service needed. It is called once per attempt.
    ///
    /// An `Err` is worth another attempt unless [`retry_error`](crate::Builder::retry_error) says otherwise, and an `Ok` is final.
    ///
    /// # Errors
    /// The function's own error if it is not to be tried again, [`Exhausted`](crate::Exhausted) with the last one inside if it was, or a [`Rejection`](seaworthy_kit::Rejection) if the layer drains.
    /// A refusal of the last attempt is tagged [`MaybeProcessed`](seaworthy_kit::Tag::MaybeProcessed) where an earlier one may have arrived.
    ///
    /// # Cancel safety
    /// Dropping the future drops that of the attempt under way, and the call counts as abandoned.
    pub async fn call<F, Fut, Res, E>(&self, mut function: F) -> Result<Res, BoxError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        let guard = Guard::try_admit(self.share.hold_shared())?;
        let (gate, control) = (guard.gate(), guard.control());
        let started = gate.begin(|budget, now| {
            if let Some(counter) = &self.counter {
                budget.offer_shared(counter, now);
            }
        });
        let mut progress = Progress::new(started, 0);
        loop {
            let error = match attempt(gate, control, &mut progress, function()).await {
                Ok(response) => {
                    gate.throttle(&Plain::new(), Ok(&response), None);
                    guard.settle(Verdict::SUCCESS);
                    return Ok(response);
                }
                Err(error) => error,
            };
            let error = match again(gate, control, &mut progress, error).await {
                Ok(()) => continue,
                Err(error) => progress.tagged(error),
            };
            guard.settle(verdict::classify_error::<(), (), _>(
                &ErrorsAsFailures::new(),
                &error,
            ));
            return Err(error);
        }
    }
}

/// Runs one attempt, up to its limits.
async fn attempt<Fut, Res, E>(
    gate: &RetryGate,
    control: &Control,
    progress: &mut Progress,
    future: Fut,
) -> Result<Res, BoxError>
where
    Fut: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    let mut future = pin!(future);
    let mut timer = pin!(None::<Sleep>);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.map_err(Into::into)),
        Poll::Pending => {
            let limit = gate.poll_limit(control, timer.as_mut(), progress, cx);
            limit.map(Err)
        }
    })
    .await
}

/// Waits for the next attempt, or says what the call ends with.
async fn again(
    gate: &RetryGate,
    control: &Control,
    progress: &mut Progress,
    error: BoxError,
) -> Result<(), BoxError> {
    let judge = Plain::new();
    let transient = gate.failures.judge_error::<(), _>(&judge, &error);
    let unseen = transient.is_some_and(|it| it.seen == Seen::Never) && !progress.later().resent;
    if !unseen {
        gate.throttle::<(), _>(&judge, Err(&error), transient.as_ref());
    }
    let Some(transient) = transient.filter(|_| gate.policy.max_attempts() > 1) else {
        return Err(error);
    };
    let next = gate.next(progress, transient.hint, unseen);
    if progress.is_observed(control) {
        let reason = next.err().unwrap_or(Reason::Observed);
        gate.given_up(progress, reason, Some(&error));
        return Err(error);
    }
    let next = match next {
        Ok(next) => next,
        Err(reason) => return Err(gate.give_up(progress, reason, error)),
    };
    gate.retrying(progress, transient.seen, &next, Some(&error));
    drop(error);
    if !next.delay.is_zero() {
        tokio::time::sleep(next.delay).await;
    }
    if let Some(withdrawn) = next.withdrawn {
        withdrawn.spend();
    }
    if !next.is_free {
        progress.attempts += 1;
    }
    Ok(())
}
