//! What is given in a feature's place is a future's: within its time, and only in need.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Substitute;
use super::run::{least, left};
use super::timer::Timer;
use crate::Cause;

/// What a future gives, and where it fails or takes too long something else; see [`or_ask`](super::Feature::or_ask).
#[derive(Clone)]
pub struct OrAsk<A, S> {
    limit: Duration,
    ask: A,
    otherwise: S,
}

impl<A, S> OrAsk<A, S> {
    pub(super) const fn new(limit: Duration, ask: A, otherwise: S) -> Self {
        Self {
            limit,
            ask,
            otherwise,
        }
    }
}

impl<T, A, F, E, S> Substitute<T> for OrAsk<A, S>
where
    A: FnOnce(Cause) -> F,
    F: Future<Output = Result<T, E>>,
    S: Substitute<T>,
{
    const GIVES: bool = true;
    type Giving = Asking<F, S, T>;

    fn give(self, cause: Cause, reserve: Duration) -> Asking<F, S, T> {
        // Less is to be done, and not something else.
        let is_left_out = matches!(cause, Cause::Off(_) | Cause::Dimmed);
        let ask = || catch_unwind(AssertUnwindSafe(|| (self.ask)(cause))).ok();
        Asking {
            asked: if is_left_out { None } else { ask() },
            timer: Timer::new(),
            limit: self.limit,
            reserve,
            cause,
            otherwise: Some(self.otherwise),
            giving: None,
        }
    }

    fn keep(&self, value: &T) {
        self.otherwise.keep(value);
    }

    fn needs(&self) -> Duration {
        self.limit.saturating_add(self.otherwise.needs())
    }
}

impl<A, S> fmt::Debug for OrAsk<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrAsk")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Asks, for its time, and then gives something else.
    #[must_use = "futures do nothing unless polled"]
    pub struct Asking<F, S: Substitute<T>, T> {
        // `None` once there is nothing more to be had of it.
        #[pin]
        asked: Option<F>,
        #[pin]
        timer: Timer,
        limit: Duration,
        reserve: Duration,
        cause: Cause,
        otherwise: Option<S>,
        #[pin]
        giving: Option<S::Giving>,
    }
}

impl<F, T, E, S> Future for Asking<F, S, T>
where
    F: Future<Output = Result<T, E>>,
    S: Substitute<T>,
{
    type Output = Option<(T, &'static str)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(asked) = this.asked.as_mut().as_pin_mut() {
            // What is left of it after a panic is dropped and never looked at again.
            match catch_unwind(AssertUnwindSafe(|| asked.poll(cx))) {
                Ok(Poll::Ready(Ok(value))) => {
                    this.asked.set(None);
                    return Poll::Ready(Some((value, "asked")));
                }
                Ok(Poll::Pending) => {
                    let otherwise = this.otherwise.as_ref().map_or(Duration::ZERO, S::needs);
                    let reserve = this.reserve.saturating_add(otherwise);
                    let limit = || least(Some(*this.limit), left(reserve));
                    ready!(this.timer.as_mut().poll(cx, limit));
                }
                Ok(Poll::Ready(Err(_))) | Err(_) => {}
            }
            // Cancellation: what took too long is dropped here.
            this.asked.set(None);
            this.timer.disarm();
        }
        if let Some(otherwise) = this.otherwise.take() {
            this.giving
                .set(Some(otherwise.give(*this.cause, *this.reserve)));
        }
        let giving = this.giving.as_pin_mut();
        giving.expect("polled after it was ready").poll(cx)
    }
}

impl<F, S: Substitute<T>, T> fmt::Debug for Asking<F, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
