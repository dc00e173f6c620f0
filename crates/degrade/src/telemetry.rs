//! Where features report to: each by its name, found when there is something to report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use seaworthy_kit::telemetry::{Event, Report, Subscription, Telemetry};

use crate::Cause;

static FEATURES: Mutex<BTreeMap<&'static str, Arc<Telemetry>>> = Mutex::new(BTreeMap::new());

/// The telemetry of the feature of that name.
///
/// A feature is a value that a handler makes anew for each answer: a name is all that it has in common with those before.
pub(crate) fn of(feature: &'static str) -> Arc<Telemetry> {
    let mut features = FEATURES.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || Arc::new(Telemetry::new(FEATURE, feature));
    features.entry(feature).or_insert_with(new).clone()
}

/// Reports that something less was given.
#[cold]
pub(crate) fn degraded(telemetry: &Telemetry, cause: Cause, substitute: &'static str) {
    telemetry.report(&Event::Degraded {
        cause: cause.as_str(),
        substitute,
    });
}

/// Calls the listener whenever the feature of that name is less than whole, on the thread where it happens.
///
/// A listener runs inside of calls: it must not block. A panic in it is caught and counts for nothing.
pub fn subscribe(
    feature: &'static str,
    listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
) -> Subscription {
    of(feature).subscribe(listener)
}

/// Registers the counters of features with the metrics recorder, at zero: what has never been counted is no zero to those who ask for its rate.
pub fn publish(features: &[&'static str]) {
    let pairs = Cause::WORDS.map(|cause| (cause, "value"));
    for feature in features {
        of(feature).instruments().publish_degraded(&pairs);
    }
}

/// The kind of layer, in metrics and events.
const FEATURE: &str = "feature";
