//! What was aimed for: ratios, told beside what was reached, and calls that allocate nothing, which is asserted.

use benches::Cost;

/// A case, a peer, and at most how much of its time ours is to take.
const RATIOS: [(&str, &str, f64); 14] = [
    ("breaker-closed", "tower-resilience", 1.0 / 20.0),
    ("breaker-closed", "recloser", 1.0),
    ("breaker-open", "tower-resilience", 1.0 / 4.0),
    ("breaker-open", "recloser", 1.6),
    ("breaker-closed-2-threads", "recloser", 0.3),
    ("breaker-cloned-2-threads", "tower-resilience", 0.5),
    ("breaker-cloned-2-threads", "seatbelt", 0.5),
    ("bulkhead", "tower-resilience", 1.0 / 8.0),
    ("bulkhead", "tower", 0.5),
    ("rate-limit", "governor", 1.5),
    ("timeout", "tower", 0.3),
    ("stack", "tower-resilience", 1.0 / 20.0),
    ("stack", "tower", 0.6),
    ("stack-five", "tower-resilience", 1.0 / 18.0),
];

/// The cases of which no call of ours allocates, with the one allocation that is the error of a refusal.
const ALLOCATIONS: [(&str, f64); 16] = [
    ("breaker-closed", 0.0),
    ("breaker-open", 1.0),
    ("breaker-slow-rule", 0.0),
    ("breaker-closed-2-threads", 0.0),
    ("breaker-cloned-2-threads", 0.0),
    ("bulkhead", 0.0),
    ("bulkhead-full", 1.0),
    ("rate-limit", 0.0),
    ("rate-limit-keyed", 0.0),
    ("rate-limit-refused", 1.0),
    ("adaptive", 0.0),
    ("hedge", 0.0),
    ("retry-none", 0.0),
    ("timeout", 0.0),
    ("stack", 0.0),
    ("stack-five", 0.0),
];

/// The mark of a case beside that peer.
pub(crate) fn ratio(case: &str, who: &str) -> Option<f64> {
    let mut marks = RATIOS.iter();
    let found = marks.find(|mark| mark.0 == case && mark.1 == who);
    found.map(|mark| mark.2)
}

/// Ratios depend on the minute; allocations do not.
pub(crate) fn assert_allocations(case: &str, ours: &Cost) {
    let most = ALLOCATIONS.iter().find(|most| most.0 == case);
    if let Some((_, most)) = most {
        let each = ours.allocations;
        assert!(each <= *most, "{case}: {each} allocations, {most} allowed");
    }
}
