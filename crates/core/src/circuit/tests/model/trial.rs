//! When the probes have said enough: found by trying every way in which the trial could go on.

use alloc::vec::Vec;

use super::{Model, is_rate};
use crate::circuit::State;

impl Model {
    pub(super) fn most(&self) -> usize {
        self.options.slots.max(self.options.needed)
    }

    /// Tries every way in which the trial could go on: a verdict is what all of them lead to.
    pub(super) fn verdict(&self) -> Option<State> {
        let mut ends = Vec::new();
        self.go_on(&mut self.results.clone(), &mut ends);
        let [first, rest @ ..] = ends.as_slice() else {
            return None;
        };
        rest.iter().all(|end| end == first).then_some(*first)
    }

    fn go_on(&self, results: &mut Vec<(bool, bool)>, ends: &mut Vec<State>) {
        let successes = results.iter().filter(|(failed, _)| !failed).count();
        let failures = results.len() - successes;
        if failures > 0 && self.options.probe_failure_rate.is_none() {
            return ends.push(State::Open);
        }
        if successes == self.options.needed {
            let slows = self.given_up + results.iter().filter(|(_, slow)| *slow).count();
            let bad = is_rate(failures, results.len(), self.options.probe_failure_rate)
                || is_rate(slows, results.len(), self.options.slow_rate);
            return ends.push(if bad { State::Open } else { State::Closed });
        }
        if results.len() == self.most() {
            return ends.push(State::Open);
        }
        for next in [(false, false), (false, true), (true, false), (true, true)] {
            results.push(next);
            self.go_on(results, ends);
            results.pop();
        }
    }
}
