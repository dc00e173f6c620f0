//! What is told of a service that does less: levels, shares, budgets.

use metrics::{Label, Recorder, Unit};

use super::handle::Remembered;
use super::{Event, Instruments, key, names};

/// The gauges.
pub(super) struct Degraded {
    level: Remembered,
    share: Remembered,
    remaining: Remembered,
    page: Remembered,
    ticket: Remembered,
}

impl Degraded {
    pub(super) fn new(labels: &[Label]) -> Self {
        let gauge = |name, more: &[_]| Remembered::new(key(name, labels, more));
        Self {
            level: gauge(names::LEVEL, &[]),
            share: gauge(names::DIMMER_SHARE, &[]),
            remaining: gauge(names::BUDGET_REMAINING, &[]),
            page: gauge(names::BURN_PRESSURE, &[("urgency", "page")]),
            ticket: gauge(names::BURN_PRESSURE, &[("urgency", "ticket")]),
        }
    }

    pub(super) fn flush(&self, recorder: &dyn Recorder) {
        let Self {
            level,
            share,
            remaining,
            page,
            ticket,
        } = self;
        for gauge in [level, share, remaining, page, ticket] {
            gauge.flush(recorder);
        }
    }
}

impl Instruments {
    /// Registers the counters of what is given in place of an answer, by cause and substitute.
    pub fn publish_degraded(&self, pairs: &[(&'static str, &'static str)]) {
        for (cause, substitute) in pairs {
            self.count_degraded(cause, substitute, 0);
        }
    }

    /// Sets the gauge of the level.
    pub fn set_level(&self, level: u8) {
        self.degraded.level.set(f64::from(level));
    }

    /// Sets the gauge of the share that optional work is done for.
    pub fn set_dimmer_share(&self, share: f64) {
        self.degraded.share.set(share);
    }

    /// Sets the gauges of an error budget: what is left of it, and how close it burns to a page and to a ticket.
    pub fn set_budget(&self, remaining: f64, page: f64, ticket: f64) {
        self.degraded.remaining.set(remaining);
        self.degraded.page.set(page);
        self.degraded.ticket.set(ticket);
    }

    pub(super) fn degraded(&self, event: &Event) {
        match event {
            Event::Degraded { cause, substitute } => self.count_degraded(cause, substitute, 1),
            Event::LevelChanged {
                from, to, cause, ..
            } => {
                let labels = [("from", *from), ("to", *to), ("cause", *cause)];
                self.add(names::LEVEL_CHANGES, &labels);
            }
            _ => {}
        }
    }

    fn count_degraded(&self, cause: &'static str, substitute: &'static str, times: u64) {
        let labels = [("cause", cause), ("substitute", substitute)];
        self.count(names::DEGRADED, &labels, times);
    }
}

pub(super) fn describe(recorder: &dyn Recorder) {
    let count = [
        (
            names::DEGRADED,
            "Answers, or parts of them, in whose place something less was given.",
        ),
        (names::LEVEL_CHANGES, "Changes of a level."),
    ];
    for (name, text) in count {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    let gauge = [
        (
            names::LEVEL,
            "0 normal, 1 reduced, 2 essential, 3 maintenance.",
        ),
        (
            names::DIMMER_SHARE,
            "For which share of the calls optional work is done.",
        ),
        (
            names::BUDGET_REMAINING,
            "Which share of an error budget is left.",
        ),
        (
            names::BURN_PRESSURE,
            "The burn rate in factors of the rule closest to firing, by urgency.",
        ),
    ];
    for (name, text) in gauge {
        recorder.describe_gauge(name.into(), Some(Unit::Count), text.into());
    }
}
