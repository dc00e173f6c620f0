//! A feature that runs: the future, its time, and what is given in its place.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_kit::{BoxError, Rejection, RejectionKind, deadline};

use super::timer::Timer;
use super::{Caller, Feature, Substitute};
use crate::watch::Watch;
use crate::{Cause, note, telemetry};

pin_project! {
    /// The future of a feature; see [`Feature::run`].
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct Running<F, S, G> {
        // `None` once it is over.
        #[pin]
        future: Option<F>,
        #[pin]
        timer: Timer,
        is_begun: bool,
        watch: Watch,
        feature: Option<Feature<S>>,
        // What is given in its place, while that is on its way.
        #[pin]
        giving: Option<G>,
        bad: Option<Bad>,
    }
}

/// A feature that ended badly.
struct Bad {
    feature: &'static str,
    cause: Cause,
    error: BoxError,
}

impl<F, S, G> Running<F, S, G> {
    pub(super) const fn new(feature: Feature<S>, future: F) -> Self {
        Self {
            future: Some(future),
            timer: Timer::new(),
            is_begun: false,
            watch: Watch::new(),
            feature: Some(feature),
            giving: None,
            bad: None,
        }
    }
}

impl<F, T, E, S> Future for Running<F, S, S::Giving>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    S: Substitute<T>,
{
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.bad.is_none()
            && let Ok(value) = ready!(self.as_mut().poll_future(cx))
        {
            return Poll::Ready(Ok(value));
        }
        self.poll_giving(cx)
    }
}

impl<F, T, E, S> Running<F, S, S::Giving>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    S: Substitute<T>,
{
    /// The value; or that it ended badly, and something is on its way in its place.
    fn poll_future(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, ()>> {
        let mut this = self.project();
        let feature = this.feature.as_ref().expect("polled after it was ready");
        let is_critical = feature.is_critical::<T>();
        if !*this.is_begun {
            *this.is_begun = true;
            if let Some(cause) = feature.left_out(is_critical) {
                // Unpolled: what is off costs nothing.
                let refused = Rejection::new(RejectionKind::Shed, feature.name.into());
                this.end(cause, Box::new(refused));
                return Poll::Ready(Err(()));
            }
        }
        let future = this.future.as_mut().as_pin_mut();
        let future = future.expect("there until it is over");
        let poll = || this.watch.over(|| future.poll(cx));
        let polled = if is_critical {
            Ok(poll())
        } else {
            // What is left of it after a panic is dropped and never looked at again.
            catch_unwind(AssertUnwindSafe(poll))
        };
        let (cause, error) = match polled {
            Ok(Poll::Ready(Ok(value))) => {
                // A value with a fallback in it is none to be given as good later.
                if !this.watch.is_less() {
                    feature.substitute.keep(&value);
                }
                clear(this.future.as_mut(), is_critical);
                this.timer.as_mut().disarm();
                *this.feature = None;
                return Poll::Ready(Ok(value));
            }
            Ok(Poll::Ready(Err(error))) => {
                let error = error.into();
                (Cause::of(&error), error)
            }
            Err(_) => (Cause::Panicked, "the feature panicked".into()),
            Ok(Poll::Pending) => {
                let limit = || feature.limit::<T>(is_critical);
                ready!(this.timer.as_mut().poll(cx, limit));
                let rejection = Rejection::new(RejectionKind::TimedOut, feature.name.into());
                (Cause::TimedOut, Box::new(rejection) as BoxError)
            }
        };
        this.end(cause, error);
        Poll::Ready(Err(()))
    }

    /// What is given in its place, and that is said; or the error, if there is nothing.
    #[cold]
    fn poll_giving(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, BoxError>> {
        let mut this = self.project();
        let given = match this.giving.as_mut().as_pin_mut() {
            None => None,
            // A panic in a fallback is a fallback that is not there.
            Some(giving) => match catch_unwind(AssertUnwindSafe(|| giving.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(given)) => given,
                Err(_) => None,
            },
        };
        clear(this.giving.as_mut(), false);
        let bad = this.bad.take().expect("polled after it was ready");
        Poll::Ready(match given {
            None => Err(bad.error),
            Some((value, substitute)) => {
                telemetry::degraded(&telemetry::of(bad.feature), bad.cause, substitute);
                note(bad.feature, bad.cause, substitute);
                Ok(value)
            }
        })
    }
}

/// Drops a future in its place; what an optional one panics with in that is not the page's either.
fn clear<F>(mut future: Pin<&mut Option<F>>, is_critical: bool) {
    if is_critical {
        future.set(None);
    } else {
        let _ = catch_unwind(AssertUnwindSafe(|| future.set(None)));
    }
}

impl<F, S, G> Projection<'_, F, S, G> {
    /// It ended badly: something is on its way in its place, unless it is critical.
    #[cold]
    fn end<T>(mut self, cause: Cause, error: BoxError)
    where
        S: Substitute<T, Giving = G>,
    {
        let feature = self.feature.take().expect("there until it is over");
        let is_critical = feature.is_critical::<T>();
        // Cancellation: what took too long is dropped here, not when somebody drops this.
        clear(self.future.as_mut(), is_critical);
        self.timer.as_mut().disarm();
        *self.bad = Some(Bad {
            feature: feature.name,
            cause,
            error,
        });
        if !is_critical {
            let give = || feature.substitute.give(cause, feature.reserve);
            self.giving.set(catch_unwind(AssertUnwindSafe(give)).ok());
        }
    }
}

impl<S> Feature<S> {
    const fn is_critical<T>(&self) -> bool
    where
        S: Substitute<T>,
    {
        matches!(self.critical, Some(true)) || !S::GIVES
    }

    /// Why it is not even tried.
    fn left_out(&self, is_critical: bool) -> Option<Cause> {
        if is_critical {
            return None;
        }
        if let Some((levels, off_from)) = &self.off_from {
            let level = levels.level();
            if level >= *off_from {
                return Some(Cause::Off(level));
            }
        }
        let (dimmer, caller) = self.dimmer.as_ref()?;
        let is_included = match caller {
            Caller::Anybody => dimmer.share().includes(seaworthy_kit::draw()),
            Caller::Known(draw) => dimmer.includes(*draw),
        };
        (!is_included).then_some(Cause::Dimmed)
    }

    /// How long it may take from now on.
    fn limit<T>(&self, is_critical: bool) -> Option<Duration>
    where
        S: Substitute<T>,
    {
        let left = if is_critical {
            // The deadline of the task is for the layers that enforce it.
            None
        } else {
            left(self.reserve.saturating_add(self.substitute.needs()))
        };
        least(self.timeout, left)
    }
}

/// What is left of the task's deadline, where there is one, when so much of it is kept for what comes after.
pub(super) fn left(reserve: Duration) -> Option<Duration> {
    deadline::remaining().map(|left| left.saturating_sub(reserve))
}

pub(super) fn least(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl<F, S, G> fmt::Debug for Running<F, S, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("feature", &self.feature)
            .finish_non_exhaustive()
    }
}
