//! What the layers of seaworthy say of themselves, as checks.

use std::time::Duration;

use seaworthy_core::health::Status;
use seaworthy_kit::Vital;
use seaworthy_kit::vital::{SharedVital, Vitalities};

use crate::check::Check;
use crate::reading::Reading;

/// One check for each of them.
pub(crate) fn layers(handles: impl Vitalities) -> impl Iterator<Item = Check> {
    handles.into_list().into_iter().map(layer)
}

fn layer(handle: SharedVital) -> Check {
    let vitals = handle.vitals();
    let name = format!("{}:{}", vitals.name, vitals.layer);
    let tag = vitals.layer;
    let read = move || {
        let vitals = handle.vitals();
        let mut reading = match vitals.status {
            Status::Pass => Reading::pass(),
            Status::Warn => Reading::warn(vitals.state),
            Status::Fail => Reading::fail(vitals.state),
        };
        reading.value = vitals.value;
        reading.threshold = vitals.threshold;
        std::future::ready(reading)
    };
    Check::new(name, read)
        .critical(false)
        .component("component")
        .tag(tag)
        // It costs nothing to look.
        .max_age(Duration::ZERO)
}
