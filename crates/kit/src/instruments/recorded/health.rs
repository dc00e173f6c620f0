//! The gauges of health, made for those only that have them.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::Recorder;

use super::handle::{Remembered, with_recorder};
use super::{Instruments, METADATA, key, names};

/// What a check shows, or whether the process is ready, once that has been set.
#[derive(Default)]
pub(super) struct Health {
    gauge: OnceLock<Box<Remembered>>,
}

impl Health {
    pub(super) fn flush(&self, recorder: &dyn Recorder) {
        if let Some(gauge) = self.gauge.get() {
            gauge.flush(recorder);
        }
    }
}

impl Instruments {
    /// Sets the gauge of what a health check shows.
    pub fn set_health(&self, level: u8) {
        self.set_gauge(names::HEALTH, f64::from(level));
    }

    /// Sets the gauge of readiness, on instruments that are not those of a check.
    pub fn set_ready(&self, ready: bool) {
        self.set_gauge(names::READY, f64::from(u8::from(ready)));
    }

    /// A check has one of the two, and what all checks amount to the other.
    fn set_gauge(&self, name: &'static str, value: f64) {
        let make = || Box::new(Remembered::new(key(name, &self.labels, &[])));
        self.health.gauge.get_or_init(make).set(value);
    }

    pub(super) fn checked(&self, result: &'static str, took: Duration) {
        self.add(names::CHECKS, &[("result", result)]);
        let key = key(names::CHECK_TIME, &self.labels, &[]);
        with_recorder(|recorder| {
            recorder
                .register_histogram(&key, &METADATA)
                .record(took.as_secs_f64());
            // The gauge may have been set before this recorder came.
            self.health.flush(recorder);
        });
    }
}
