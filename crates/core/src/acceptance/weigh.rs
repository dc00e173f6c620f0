//! The formula: with which probability the next call of each class is refused.

use super::config::Rules;
use super::{CLASSES, Counts};

/// The probabilities by class, the least important first: each at most the cap, and none below that of a more important class.
pub(super) fn weigh(counts: &[Counts; CLASSES], rules: &Rules) -> [f64; CLASSES] {
    let mut probabilities = [0.0; CLASSES];
    let all: u64 = counts.iter().map(|class| class.requests).sum();
    if all < rules.min_requests {
        return probabilities;
    }
    let accepted: u64 = counts.iter().map(|class| class.accepts).sum();
    // What may be sent in all, less what the classes so far want of it.
    let mut left = rules.multiplier * accepted as f64;
    let mut highest: f64 = 0.0;
    for (class, probability) in counts.iter().zip(&mut probabilities).rev() {
        let wanted = class.requests as f64;
        let mut may = left;
        if class.requests >= rules.min_requests {
            may = may.min(rules.multiplier * class.accepts as f64);
        }
        highest = highest.max((wanted - may) / (wanted + 1.0));
        *probability = highest.min(rules.max_rejection);
        // What they want, not what they are sent: else a lower class takes what an upper one would get as soon as it is held back less.
        left = (left - wanted).max(0.0);
    }
    invariants(&probabilities, rules);
    probabilities
}

fn invariants(probabilities: &[f64; CLASSES], rules: &Rules) {
    debug_assert!(
        probabilities.is_sorted_by(|lower, upper| lower >= upper),
        "lower classes give way first: {probabilities:?}"
    );
    debug_assert!(
        probabilities
            .iter()
            .all(|probability| (0.0..=rules.max_rejection).contains(probability))
    );
}
