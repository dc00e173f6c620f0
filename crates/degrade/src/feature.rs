//! One feature of an answer: what runs for it, for how long, and what is given in its place.

use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use seaworthy_core::level::Level;
use seaworthy_kit::BoxError;

use crate::{Dimmer, Levels};

mod ask;
pub use ask::{Asking, OrAsk};

mod run;
pub use run::Running;

mod substitute;
pub use substitute::{Function, LastGood, LastOr, Nothing, OrLast, Substitute, Value};

pub(crate) mod timer;

/// A feature of an answer, by a name that callers are told: `recommendations`, `reviews`.
///
/// Without more it is critical and may take as long as it likes.
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_degrade::{feature, gather};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let popular = vec!["anchor", "rope"];
/// let (recommendations, less) = gather(
///     feature("recommendations")
///         .critical(false)
///         .timeout(Duration::from_millis(200))
///         .fallback(popular)
///         .run(async { std::future::pending::<Result<_, std::io::Error>>().await }),
/// )
/// .await;
/// assert_eq!(recommendations.unwrap(), ["anchor", "rope"]);
/// assert_eq!(less.expect("it timed out").names(), ["recommendations"]);
/// # }
/// ```
pub const fn feature(name: &'static str) -> Feature {
    Feature {
        name,
        critical: None,
        timeout: None,
        reserve: Duration::ZERO,
        off_from: None,
        dimmer: None,
        substitute: Nothing::new(),
    }
}

/// What is said about a feature; see [`feature`](fn@feature).
///
/// It is a value without a state of its own: make it anew for each answer, or clone it.
#[derive(Clone)]
#[must_use = "a feature does nothing until something runs for it"]
pub struct Feature<S = Nothing> {
    name: &'static str,
    critical: Option<bool>,
    timeout: Option<Duration>,
    reserve: Duration,
    off_from: Option<(Levels, Level)>,
    dimmer: Option<(Dimmer, Caller)>,
    substitute: S,
}

/// Whom a dimmer decides about.
#[derive(Clone, Copy)]
enum Caller {
    /// Nobody in particular: by chance.
    Anybody,
    /// Always the same one: by its draw.
    Known(u64),
}

impl<S> Feature<S> {
    /// Whether there is no answer without it: then its error is the answer's, and whatever else is said here about what to give in its place does not count. Default: only while nothing is said about what to give in its place.
    ///
    /// A feature that is not critical needs a fallback of some kind; one that has none is critical in any case.
    pub const fn critical(mut self, critical: bool) -> Self {
        self.critical = Some(critical);
        self
    }

    /// How long it may take, from the first `Pending` on. Default: as long as it likes, up to the deadline of the task.
    ///
    /// What took too long is dropped, and ends with a [`Rejection`](seaworthy_kit::Rejection) of the kind `TimedOut` in the name of the feature.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How much of the task's deadline is left for what comes after: a feature that is not critical is cut so long before it. Default: zero.
    ///
    /// An answer with a fallback in it is an answer only if there is time to write it.
    pub const fn reserve(mut self, time: Duration) -> Self {
        self.reserve = time;
        self
    }

    /// It is not tried at this level and above: its future is dropped unpolled, and the fallback is given. Default: never.
    ///
    /// What is critical is never off.
    pub fn off_from(mut self, levels: &Levels, level: Level) -> Self {
        self.off_from = Some((levels.clone(), level));
        self
    }

    /// It is tried for that share of the answers only that the dimmer has; by chance. Default: for all.
    ///
    /// What is critical is never left out.
    pub fn dimmed(mut self, dimmer: &Dimmer) -> Self {
        self.dimmer = Some((dimmer.clone(), Caller::Anybody));
        self
    }

    /// It is tried for that share of the callers only that the dimmer has: the same ones while the share stays, so that for nobody it comes and goes, and yet not the same ones for ever, since they [take turns](crate::dimmer::Builder::rotation). Default: for all.
    ///
    /// Which callers those are differs from feature to feature.
    pub fn dimmed_for(mut self, dimmer: &Dimmer, caller: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        caller.hash(&mut hasher);
        self.dimmer = Some((dimmer.clone(), Caller::Known(hasher.finish())));
        self
    }

    fn substitute<T>(self, substitute: T) -> Feature<T> {
        self.map(|_| substitute)
    }

    fn map<T>(self, substitute: impl FnOnce(S) -> T) -> Feature<T> {
        Feature {
            name: self.name,
            critical: self.critical,
            timeout: self.timeout,
            reserve: self.reserve,
            off_from: self.off_from,
            dimmer: self.dimmer,
            substitute: substitute(self.substitute),
        }
    }

    /// Runs a future for it: the value, or what is given in its place.
    ///
    /// It is an error only where the feature is critical, or where there is nothing to give in its place.
    /// A panic in the future of a feature that is not critical counts as its failure, and one in what is given in its place as nothing to give.
    ///
    /// # Cancel safety
    /// As that of the future: dropped, nothing is noted and nothing counted.
    ///
    /// # Panics
    /// If the future does, and the feature is critical.
    pub fn run<F, T, E>(self, future: F) -> Running<F, S, S::Giving>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<BoxError>,
        S: Substitute<T>,
    {
        Running::new(self, future)
    }
}

impl Feature {
    /// What is given in its place: this.
    pub fn fallback<T>(self, value: T) -> Feature<Value<T>> {
        self.substitute(Value::new(value))
    }

    /// What is given in its place: what the function makes of the cause.
    pub fn fallback_with<F, T>(self, function: F) -> Feature<Function<F>>
    where
        F: FnOnce(crate::Cause) -> T,
    {
        self.substitute(Function::new(function))
    }
}

impl<S> Feature<S> {
    /// What is given in its place: what this future gives, for which it has so much time; and where it fails, panics or takes too long, what was said before.
    ///
    /// For a replica, or a shared cache: it is asked only in need, and the page may take so much longer.
    /// Of the task's deadline that time is kept for it, as the [`reserve`](Self::reserve) is.
    /// A feature that is off or dimmed asks nobody: that is for doing less.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use seaworthy_degrade::{feature, gather};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let primary = async { std::future::pending::<Result<_, std::io::Error>>().await };
    /// let replica = |_cause| async { Ok::<_, std::io::Error>(vec![5, 4]) };
    /// let (reviews, less) = gather(
    ///     feature("reviews")
    ///         .timeout(Duration::from_millis(200))
    ///         .fallback(vec![])
    ///         .or_ask(Duration::from_millis(100), replica)
    ///         .run(primary),
    /// )
    /// .await;
    /// assert_eq!(reviews.unwrap(), [5, 4]);
    /// assert_eq!(less.expect("they are not of the primary").to_vec()[0].substitute, "asked");
    /// # }
    /// ```
    pub fn or_ask<A, F>(self, limit: Duration, ask: A) -> Feature<OrAsk<A, S>>
    where
        A: FnOnce(crate::Cause) -> F,
        F: Future,
    {
        self.map(|otherwise| OrAsk::new(limit, ask, otherwise))
    }

    /// What is given in its place: the last good value that is kept there, and where there is none, or it is too old, what was said before.
    ///
    /// Good values are kept there from now on; one in whose making something was [noted](crate::note()) is not good.
    /// Whatever is personal must not be: what one caller gets in place of an answer is what another got before.
    pub fn or_last<T>(self, last: &LastGood<T>) -> Feature<OrLast<T, S>> {
        self.map(|otherwise| OrLast::new(last.clone(), otherwise))
    }
}

impl<S> fmt::Debug for Feature<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feature")
            .field("name", &self.name)
            .field("critical", &self.critical)
            .field("timeout", &self.timeout)
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}
