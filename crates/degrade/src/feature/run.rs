//! A feature that runs: the future, its time, and what is given in its place.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_kit::{BoxError, Rejection, RejectionKind, clock, deadline};
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Sleep, sleep_until};

use super::{Caller, Feature, Substitute};
use crate::watch::Watch;
use crate::{Cause, note, telemetry};

pin_project! {
    /// The future of a feature; see [`Feature::run`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Running<F, S> {
        // `None` once it is over.
        #[pin]
        future: Option<F>,
        // Armed on the first `Pending`: what is there at once has no timer.
        #[pin]
        timer: Option<Unconstrained<Sleep>>,
        is_armed: bool,
        is_begun: bool,
        watch: Watch,
        feature: Option<Feature<S>>,
    }
}

impl<F, S> Running<F, S> {
    pub(super) const fn new(feature: Feature<S>, future: F) -> Self {
        Self {
            future: Some(future),
            timer: None,
            is_armed: false,
            is_begun: false,
            watch: Watch::new(),
            feature: Some(feature),
        }
    }
}

impl<F, T, E, S> Future for Running<F, S>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    S: Substitute<T>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let feature = this.feature.as_ref().expect("polled after it was ready");
        let is_critical = feature.is_critical::<T>();
        if !*this.is_begun {
            *this.is_begun = true;
            if let Some(cause) = feature.left_out(is_critical) {
                // Unpolled: what is off costs nothing.
                this.future.set(None);
                let feature = this.feature.take().expect("looked at above");
                return Poll::Ready(feature.leave_out(cause));
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
        let result = match polled {
            Ok(Poll::Ready(Ok(value))) => {
                // A value with a fallback in it is none to be given as good later.
                if !this.watch.is_less() {
                    feature.substitute.keep(&value);
                }
                Ok(value)
            }
            Ok(Poll::Ready(Err(error))) => {
                let error = error.into();
                Err((Cause::of(&error), error))
            }
            Err(_) => Err((Cause::Panicked, "the feature panicked".into())),
            Ok(Poll::Pending) => {
                if !*this.is_armed {
                    *this.is_armed = true;
                    let limit = feature.limit(is_critical);
                    this.timer.set(limit.map(|limit| {
                        let until = clock::now() + limit;
                        // Also where the feature has used up the time slice of its task, as one that never rests does.
                        unconstrained(sleep_until(clock::instant(until)))
                    }));
                }
                let Some(timer) = this.timer.as_mut().as_pin_mut() else {
                    return Poll::Pending;
                };
                ready!(timer.poll(cx));
                let rejection = Rejection::new(RejectionKind::TimedOut, feature.name.into());
                Err((Cause::TimedOut, Box::new(rejection) as BoxError))
            }
        };
        // Cancellation: what took too long is dropped here, not when somebody drops this.
        this.future.set(None);
        this.timer.set(None);
        let feature = this.feature.take().expect("looked at above");
        Poll::Ready(result.or_else(|(cause, error)| feature.degrade(cause, error)))
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
        let draw = match caller {
            Caller::Anybody => seaworthy_kit::draw(),
            Caller::Known(draw) => *draw,
        };
        (!dimmer.share().includes(draw)).then_some(Cause::Dimmed)
    }

    #[cold]
    fn leave_out<T>(self, cause: Cause) -> Result<T, BoxError>
    where
        S: Substitute<T>,
    {
        let refused = Rejection::new(RejectionKind::Shed, self.name.into());
        self.degrade(cause, Box::new(refused))
    }

    /// How long it may take from now on.
    fn limit(&self, is_critical: bool) -> Option<Duration> {
        let left = if is_critical {
            // The deadline of the task is for the layers that enforce it.
            None
        } else {
            deadline::remaining().map(|left| left.saturating_sub(self.reserve))
        };
        match (self.timeout, left) {
            (Some(timeout), Some(left)) => Some(timeout.min(left)),
            (timeout, left) => timeout.or(left),
        }
    }

    /// Gives something in its place, and says so; or the error, if there is nothing.
    #[cold]
    fn degrade<T>(self, cause: Cause, error: BoxError) -> Result<T, BoxError>
    where
        S: Substitute<T>,
    {
        if self.is_critical::<T>() {
            return Err(error);
        }
        let name = self.name;
        let (value, substitute) = self.substitute.give(cause).ok_or(error)?;
        telemetry::degraded(&telemetry::of(name), cause, substitute);
        note(name, cause, substitute);
        Ok(value)
    }
}

impl<F, S> fmt::Debug for Running<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("feature", &self.feature)
            .finish_non_exhaustive()
    }
}
