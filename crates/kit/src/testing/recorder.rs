//! A listener that keeps what it hears.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seaworthy_core::Outcome;

use crate::telemetry::{Event, Report};

/// Keeps the events of the layers it listens to, in order.
///
/// ```
/// use seaworthy_kit::telemetry::{Event, Telemetry};
/// use seaworthy_kit::testing::Recorder;
///
/// let telemetry = Telemetry::new("bulkhead", "database");
/// let recorder = Recorder::new();
/// let _subscription = telemetry.subscribe(recorder.listener());
///
/// telemetry.report(&Event::LimitChanged { limit: 5 });
/// assert_eq!(recorder.events(), [Event::LimitChanged { limit: 5 }]);
/// ```
#[derive(Clone, Default, Debug)]
pub struct Recorder {
    heard: Arc<Mutex<Vec<Recorded>>>,
}

/// An event and where it happened, owned.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Recorded {
    /// What kind of layer.
    pub layer: &'static str,
    /// The name that the user gave the layer.
    pub name: String,
    /// The label of the key, where there is one.
    pub key: Option<String>,
    /// What happened.
    pub event: Event,
}

impl Recorder {
    /// A recorder that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What to subscribe with.
    #[must_use = "it hears nothing until a layer subscribes it"]
    pub fn listener(&self) -> impl Fn(&Report<'_>) + Send + Sync + 'static {
        let recorder = self.clone();
        move |report| {
            recorder.heard().push(Recorded {
                layer: report.layer,
                name: report.name.to_owned(),
                key: report.key.map(ToOwned::to_owned),
                event: report.event.clone(),
            });
        }
    }

    /// All that was heard, and from where.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        self.heard().clone()
    }

    /// The events that were heard.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let heard = self.heard();
        heard.iter().map(|heard| heard.event.clone()).collect()
    }

    /// The events that were heard, which are then forgotten.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        let heard = std::mem::take(&mut *self.heard());
        heard.into_iter().map(|heard| heard.event).collect()
    }

    /// How many events are such.
    pub fn count(&self, such: impl Fn(&Event) -> bool) -> usize {
        let heard = self.heard();
        heard.iter().filter(|heard| such(&heard.event)).count()
    }

    /// How the calls ended, in order.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |heard: &Recorded| match heard.event {
            Event::Ended { outcome } => Some(outcome),
            _ => None,
        };
        self.heard().iter().filter_map(outcome).collect()
    }

    /// How many calls were refused, or, if that was not enforced, would have been.
    #[must_use]
    pub fn refused(&self, is_enforced: bool) -> usize {
        self.count(
            |event| matches!(event, Event::Refused { enforced, .. } if *enforced == is_enforced),
        )
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
