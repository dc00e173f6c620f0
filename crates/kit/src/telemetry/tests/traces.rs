//! A subscriber that is broken.

use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

use super::*;

/// Panics at every event.
struct Broken;

impl Subscriber for Broken {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        std::panic::resume_unwind(Box::new("as a broken exporter might"));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn panic_of_a_subscriber_is_contained() {
    let telemetry = telemetry();
    let recorder = Recorder::new();
    let _listening = telemetry.subscribe(recorder.listener());
    tracing::subscriber::with_default(Broken, || {
        telemetry.report(&LIMIT);
        let refusal = Refusal::new(RejectionKind::BulkheadFull, None);
        let _ = telemetry.refuse(refusal);
    });
    assert_eq!(recorder.events().len(), 2, "listeners hear all the same");
}
