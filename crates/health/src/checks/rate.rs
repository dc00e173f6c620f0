//! The share of calls that failed of late, as a figure for a check.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seaworthy_core::health::Rate;
use seaworthy_kit::clock::now;
use seaworthy_kit::{Event, InvalidConfig, Outcome, Report};

use crate::check::Check;

/// The share of calls that failed in the last minutes: fed by hand, or by the events of a layer.
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_health::{Health, checks::ErrorRate};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let errors = ErrorRate::over(Duration::from_secs(300))?.min_calls(2);
/// let health = Health::builder("payments")
///     .check(errors.check("error_rate_5m").warn_above(0.01).fail_above(0.05))
///     .build()?;
///
/// // A layer can feed it: `bulkhead.subscribe(errors.listener()).forever()`.
/// errors.succeeded();
/// errors.failed();
/// assert_eq!(health.report().await.check("error_rate_5m").unwrap().value, Some(0.5));
/// # Ok(())
/// # }
/// ```
/// With too few calls the share is zero: of one call that failed at night, all have.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is fed"]
pub struct ErrorRate {
    rate: Arc<Mutex<Rate>>,
    min_calls: u64,
}

impl ErrorRate {
    /// Counts over that window, which moves on in thirty steps.
    ///
    /// # Errors
    /// If the window is shorter than a second.
    pub fn over(window: Duration) -> Result<Self, InvalidConfig> {
        let rate = Arc::new(Mutex::new(Rate::try_new(window)?));
        let min_calls = 10;
        Ok(Self { rate, min_calls })
    }

    /// How many calls it takes in the window before their share is told. Default: 10, so that one failure is a tenth of them at most.
    pub const fn min_calls(mut self, calls: u64) -> Self {
        self.min_calls = calls;
        self
    }

    /// Counts a call that succeeded.
    pub fn succeeded(&self) {
        self.rate().count(false, now());
    }

    /// Counts a call that failed.
    pub fn failed(&self) {
        self.rate().count(true, now());
    }

    /// The share now: from zero to one.
    #[must_use]
    pub fn share(&self) -> f64 {
        let (failed, all) = self.rate().counts(now());
        if all == 0 || all < self.min_calls {
            0.0
        } else {
            failed as f64 / all as f64
        }
    }

    /// Counts the calls of a layer that are over: what to subscribe to it with. Ignored and abandoned ones count for nothing.
    pub fn listener(&self) -> impl Fn(&Report<'_>) + Send + Sync + 'static {
        let counted = self.clone();
        move |report| match report.event {
            Event::Ended {
                outcome: Outcome::Success,
            } => counted.succeeded(),
            Event::Ended {
                outcome: Outcome::Failure,
            } => counted.failed(),
            _ => {}
        }
    }

    /// A check of that name that tells the share, live.
    ///
    /// It is not critical: an instance without work has no errors, would come back, and leave again.
    pub fn check(&self, name: impl Into<Arc<str>>) -> Check {
        let counted = self.clone();
        Check::new(name, move || std::future::ready(counted.share()))
            .critical(false)
            .max_age(Duration::ZERO)
    }

    fn rate(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
