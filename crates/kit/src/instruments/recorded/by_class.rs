//! A gauge for each class of calls, made for those layers only that have them.

use std::sync::OnceLock;

use metrics::{Label, Recorder};

use super::handle::Remembered;
use super::key;
use crate::Criticality;

/// As many gauges of one name as there are classes, once they have been set.
pub(super) struct ByClass {
    name: &'static str,
    gauges: OnceLock<Box<[Remembered; Criticality::ALL.len()]>>,
}

impl ByClass {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            gauges: OnceLock::new(),
        }
    }

    /// Sets them, the least important class first.
    pub(super) fn set(&self, labels: &[Label], values: &[f64; Criticality::ALL.len()]) {
        let gauges = self.gauges.get_or_init(|| {
            let gauge = |class: Criticality| {
                let class = [("class", class.as_str())];
                Remembered::new(key(self.name, labels, &class))
            };
            Box::new(Criticality::ALL.map(gauge))
        });
        for (gauge, value) in gauges.iter().zip(values) {
            gauge.set(*value);
        }
    }

    pub(super) fn flush(&self, recorder: &dyn Recorder) {
        for gauge in self.gauges.get().into_iter().flat_map(|all| all.iter()) {
            gauge.flush(recorder);
        }
    }
}
