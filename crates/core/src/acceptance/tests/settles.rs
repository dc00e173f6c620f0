//! Where the rule settles under a steady overload: at K times what the dependency takes, whatever is wanted.

use super::*;

/// A dependency that takes so many calls in a second, the first that come or those of the upper classes, and its callers.
struct Overload {
    acceptance: Acceptance,
    capacity: u32,
    /// Calls that are wanted each second.
    wanted: [(Criticality, u32); 2],
    /// Whether it takes the more important calls first, or any.
    by_class: bool,
    now: Moment,
    seed: u64,
}

/// What became of the calls of each class in the last second.
#[derive(Clone, Copy, Default, Debug)]
struct Second {
    sent: [f64; 2],
    accepted: [f64; 2],
}

impl Overload {
    fn new(config: AcceptanceConfig, capacity: u32, wanted: u32) -> Self {
        Self {
            // Shorter than the default, so that it is over sooner.
            acceptance: build(config.window(12 * SECOND)),
            capacity,
            wanted: [(Critical, wanted), (Sheddable, 0)],
            by_class: false,
            now: START,
            seed: 1,
        }
    }

    fn draw(&mut self) -> u64 {
        // Knuth's constants; the high bits are good enough here.
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.seed ^ (self.seed >> 33)
    }

    fn second(&mut self) -> Second {
        let mut seen = Second::default();
        let mut sent = alloc::vec::Vec::new();
        let all: u32 = self.wanted.iter().map(|(_, wanted)| wanted).sum();
        for call in 0..all {
            // Mixed evenly, as calls of two classes come.
            let index = usize::from(call % 10 * all / 10 % all >= self.wanted[0].1);
            let index = if self.wanted[1].1 == 0 { 0 } else { index };
            let class = self.wanted[index].0;
            let draw = self.draw();
            let now = self.now;
            if self.acceptance.try_admit(class, || now, || draw) {
                seen.sent[index] += 1.0;
                sent.push((draw, index));
            }
        }
        // Which ones it takes has nothing to do with when they came.
        sent.sort_unstable_by_key(|(draw, index)| {
            (if self.by_class { *index } else { 0 }, draw % 1_009)
        });
        for (place, (_, index)) in sent.into_iter().enumerate() {
            let class = self.wanted[index].0;
            if place < self.capacity as usize {
                seen.accepted[index] += 1.0;
                self.acceptance.on_accepted(class, self.now);
            } else {
                self.acceptance.on_refused(class, self.now);
            }
        }
        self.now = self.now + SECOND;
        seen
    }

    /// The mean of two windows, after three.
    fn settled(&mut self) -> Second {
        for _ in 0..36 {
            self.second();
        }
        let mut mean = Second::default();
        for _ in 0..24 {
            let second = self.second();
            for index in 0..2 {
                mean.sent[index] += second.sent[index] / 24.0;
                mean.accepted[index] += second.accepted[index] / 24.0;
            }
        }
        mean
    }
}

/// Within a tenth: the answers of a second come at its end, and until then its calls are not counted.
fn is_near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 0.1 * expected
}

#[test]
fn as_much_is_sent_as_is_accepted_times_k_whatever_is_wanted() {
    // patterns.md 5.1: the table that is derived there, in calls per second.
    for (k, wanted, expected) in [
        (2.0, 100, 100.0),
        (2.0, 200, 100.0),
        (2.0, 400, 100.0),
        (2.0, 800, 100.0),
        (1.1, 100, 55.0),
        (1.1, 400, 55.0),
        (2.0, 75, 75.0),
    ] {
        let config = AcceptanceConfig::new().multiplier(k);
        let sent = Overload::new(config, 50, wanted).settled().sent[0];
        assert!(
            is_near(sent, expected),
            "K {k}, wanted {wanted}: {sent} sent"
        );
    }
}

#[test]
fn without_the_calls_refused_here_the_mean_of_supply_and_demand_would_be_sent() {
    // The same loop with the formula that leaves them out, as means: what the rule is a defence against.
    for (wanted, expected) in [(400.0, 282.8), (800.0, 400.0), (1600.0, 565.7)] {
        let (k, capacity) = (2.0, 100.0_f64);
        let mut sent: f64 = wanted;
        for _ in 0..1_000 {
            let pass = (k * capacity / sent).min(1.0);
            sent += 0.1 * (wanted * pass - sent);
        }
        assert!(is_near(sent, expected), "wanted {wanted}: {sent} sent");
    }
}

#[test]
fn far_overload_is_sent_what_the_cap_leaves() {
    let sent = Overload::new(AcceptanceConfig::new(), 5, 500)
        .settled()
        .sent[0];
    assert!(is_near(sent, 50.0), "{sent} sent");
}

#[test]
fn nothing_is_refused_any_more_soon_after_the_overload() {
    let mut overload = Overload::new(AcceptanceConfig::new(), 0, 200);
    overload.settled();
    overload.capacity = 1_000;
    let mut seconds = 0;
    while overload.second().sent[0] < 199.0 {
        seconds += 1;
        assert!(seconds < 12, "not within a window");
    }
    for _ in 0..12 {
        overload.second();
    }
    let now = overload.now;
    assert!(overload.acceptance.try_admit(Critical, || now, || 0));
    assert!(!overload.acceptance.is_troubled());
}

#[test]
fn lower_class_gives_way_to_a_dependency_that_knows_classes() {
    let mut overload = Overload::new(AcceptanceConfig::new(), 100, 90);
    overload.wanted[1].1 = 810;
    overload.by_class = true;
    let settled = overload.settled();
    assert!(settled.sent[0] > 89.9, "{settled:?}");
    assert!(is_near(settled.accepted[0], 90.0), "{settled:?}");
    // The cap lets a tenth through; otherwise it would be twice the ten that are taken.
    assert!(is_near(settled.sent[1], 81.0), "{settled:?}");
}

#[test]
fn lower_class_gives_way_to_a_dependency_that_does_not() {
    let config = AcceptanceConfig::new().max_rejection(0.99);
    let mut overload = Overload::new(config, 100, 90);
    overload.wanted[1].1 = 810;
    let settled = overload.settled();
    assert!(settled.sent[0] > 85.0, "{settled:?}");
    // Two hundred are sent in all: what the upper class does not need.
    assert!(
        is_near(settled.sent[0] + settled.sent[1], 200.0),
        "{settled:?}"
    );
}
