//! The one vocabulary of events, and where a layer reports them to: listeners, metrics, tracing.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use seaworthy_core::Outcome;

use crate::gate::Refusal;
use crate::instruments::Instruments;
use crate::{BoxError, Name, Rejection, RejectionKind};

mod event;
pub use event::Event;

mod trace;

/// An event and where it happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Report<'a> {
    /// What kind of layer: `circuit_breaker`, `bulkhead`, `retry`, `hedge`, `timeout`.
    pub layer: &'static str,
    /// The name that the user gave the layer.
    pub name: &'a str,
    /// The label of the key, where the layer is keyed and the user labels its keys.
    pub key: Option<&'a str>,
    /// What happened.
    pub event: &'a Event,
}

type Listener = dyn Fn(&Report<'_>) + Send + Sync;

/// Keeps a listener: dropped, the listener hears no more.
#[must_use = "the listener is removed when this is dropped; `forever` keeps it"]
pub struct Subscription {
    listeners: Weak<Listeners>,
    listener: Arc<Listener>,
}

/// How many listeners this process has: where there are none, a call need not look for those of its layer.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

#[derive(Default)]
struct Listeners {
    /// Read on every call, so that a layer without listeners builds no event.
    count: AtomicUsize,
    list: RwLock<Vec<Arc<Listener>>>,
}

/// Where one layer reports to.
pub struct Telemetry {
    layer: &'static str,
    name: Name,
    key: Option<Arc<str>>,
    listeners: Arc<Listeners>,
    instruments: Arc<Instruments>,
}

// ===== impl Telemetry =====

impl Telemetry {
    /// The telemetry of a layer of that kind and name.
    #[must_use]
    pub fn new(layer: &'static str, name: &str) -> Self {
        Self {
            layer,
            name: name.into(),
            key: None,
            listeners: Arc::default(),
            instruments: Arc::new(Instruments::new(layer, name, None)),
        }
    }

    /// The telemetry of one key of a keyed layer; with a label, its metrics are its own.
    ///
    /// Listeners are shared with the layer: one that subscribed to the layer hears of every key.
    #[must_use]
    pub fn for_key(&self, label: Option<&str>) -> Self {
        Self {
            layer: self.layer,
            name: self.name,
            key: label.map(Into::into),
            listeners: self.listeners.clone(),
            instruments: match label {
                Some(label) => Arc::new(Instruments::new(self.layer, &self.name, Some(label))),
                None => self.instruments.clone(),
            },
        }
    }

    /// What kind of layer it is.
    #[must_use]
    pub const fn layer(&self) -> &'static str {
        self.layer
    }

    /// The name that the user gave the layer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gauges, counters and histograms; without the feature `metrics` they do nothing.
    #[must_use]
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Calls the listener at every event of this layer, on the thread where it happens.
    ///
    /// A listener runs inside of calls: it must not block. A panic in it is caught and counts for nothing.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        let listener: Arc<Listener> = Arc::new(listener);
        self.listeners.change(|list| list.push(listener.clone()));
        Subscription {
            listeners: Arc::downgrade(&self.listeners),
            listener,
        }
    }

    /// Reports a refusal, and makes the error of it: a [`Rejection`] with the layer's name.
    #[must_use]
    #[cold]
    pub fn refuse(&self, refusal: Refusal) -> BoxError {
        self.refused(refusal, true);
        Box::new(Rejection::refused(refusal, self.name))
    }

    /// A rejection of a call that had reached the inner service, or that another report has already told of.
    #[must_use]
    pub fn rejection(&self, kind: RejectionKind) -> Rejection {
        Rejection::new(kind, self.name)
    }

    /// Reports a refusal that was not enforced.
    pub fn let_through(&self, refusal: Refusal) {
        self.refused(refusal, false);
    }

    /// Reports the end of an admitted call.
    #[inline(always)]
    pub fn ended(&self, outcome: Outcome) {
        // One look for all who may hear: the end of a call for nobody is a few loads.
        if self.is_heard() {
            self.tell_ended(outcome);
        }
    }

    /// Whether a recorder or a listener hears: what is worked out only to be told, need not be before.
    #[must_use]
    #[inline(always)]
    pub fn is_heard(&self) -> bool {
        self.instruments.are_heard() || self.listeners.any()
    }

    #[cold]
    fn tell_ended(&self, outcome: Outcome) {
        self.instruments.ended(outcome);
        if self.listeners.any() {
            self.emit(&Event::Ended { outcome });
        }
    }

    /// Reports an event that is not part of every call: to listeners, `tracing` and metrics.
    pub fn report(&self, event: &Event) {
        self.trace(event);
        self.tell(event);
    }

    #[inline(always)]
    fn refused(&self, refusal: Refusal, enforced: bool) {
        // A refusal must be cheaper than a call: for nobody there is no event.
        if trace::is_on() {
            self.trace_refused(refusal, enforced);
        }
        if self.is_heard() {
            self.tell_refused(refusal, enforced);
        }
    }

    #[inline(never)]
    fn tell_refused(&self, refusal: Refusal, enforced: bool) {
        self.tell(&Event::Refused {
            kind: refusal.kind(),
            retry_after: refusal.retry_after(),
            enforced,
        });
    }

    /// Tells metrics and listeners.
    fn tell(&self, event: &Event) {
        self.instruments.event(event);
        if self.listeners.any() {
            self.emit(event);
        }
    }

    #[cold]
    fn emit(&self, event: &Event) {
        let report = Report {
            layer: self.layer,
            name: &self.name,
            key: self.key.as_deref(),
            event,
        };
        // Called on a copy of the list: a listener may subscribe, unsubscribe or call the layer itself.
        let list = self.listeners.list();
        for listener in list {
            // A layer reports from `drop` too, where a panic would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(&report)));
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("layer", &self.layer)
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

// ===== impl Listeners =====

impl Listeners {
    #[inline]
    fn any(&self) -> bool {
        LISTENERS.load(Ordering::Relaxed) != 0 && self.count.load(Ordering::Relaxed) != 0
    }

    fn list(&self) -> Vec<Arc<Listener>> {
        self.list
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Listener>>)) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let before = list.len();
        change(&mut list);
        LISTENERS.fetch_add(list.len().wrapping_sub(before), Ordering::Relaxed);
        self.count.store(list.len(), Ordering::Relaxed);
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(*self.count.get_mut(), Ordering::Relaxed);
    }
}

// ===== impl Subscription =====

impl Subscription {
    /// Keeps the listener for as long as the layer lives.
    pub fn forever(mut self) {
        self.listeners = Weak::new();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(listeners) = self.listeners.upgrade() {
            listeners.change(|list| list.retain(|other| !Arc::ptr_eq(other, &self.listener)));
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
