//! Every operation list against a model that keeps all that happened and counts it anew for each answer.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const WINDOW: u64 = 12 * WIDTH;
const WIDTH: u64 = 1_000_000_000;
/// From where on a clock that goes back is believed: a minute, as that is longer than the window.
const JUMP: u64 = 60;

#[derive(Clone, Copy, Debug)]
enum Op {
    Accept(Criticality),
    Refuse(Criticality),
    Admit(Criticality, u64),
    Pass(u64),
    Back(u64),
    Set(u64),
}

fn class() -> impl Strategy<Value = Criticality> {
    prop::sample::select(&Criticality::ALL[..])
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => class().prop_map(Op::Accept),
        4 => class().prop_map(Op::Refuse),
        4 => (class(), any::<u64>()).prop_map(|(class, draw)| Op::Admit(class, draw)),
        3 => (0..2 * WIDTH).prop_map(Op::Pass),
        1 => (0..30 * WIDTH).prop_map(Op::Pass),
        1 => (0..5 * WIDTH).prop_map(Op::Back),
        1 => (0..1_000 * WIDTH).prop_map(Op::Set),
    ]
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Accepted,
    Refused,
    Throttled,
}

#[derive(Default)]
struct Model {
    newest: u64,
    happened: Vec<(u64, Criticality, What)>,
    troubled: bool,
}

impl Model {
    fn note(&mut self, now: u64, class: Criticality, what: What) {
        let bucket = now / WIDTH;
        if bucket >= self.newest || self.newest - bucket >= JUMP {
            if bucket < self.newest {
                self.happened.clear();
            }
            self.newest = bucket;
        }
        self.happened.push((self.newest, class, what));
        self.troubled |= what == What::Refused;
    }

    /// What is in the window that ends now.
    fn seen(&self, now: u64) -> Vec<(Criticality, What)> {
        let bucket = now / WIDTH;
        if bucket < self.newest && self.newest - bucket >= JUMP {
            return Vec::new();
        }
        let newest = bucket.max(self.newest);
        let in_window = self
            .happened
            .iter()
            .filter(|(at, ..)| at + WINDOW / WIDTH > newest);
        in_window.map(|(_, class, what)| (*class, *what)).collect()
    }

    fn probability(&self, now: u64, class: Criticality, min: u64) -> f64 {
        let seen = self.seen(now);
        let requests = |of: &dyn Fn(Criticality) -> bool| {
            seen.iter().filter(|(class, _)| of(*class)).count() as f64
        };
        let accepts = |of: &dyn Fn(Criticality) -> bool| {
            let accepted = |(class, what): &&(_, _)| of(*class) && *what == What::Accepted;
            seen.iter().filter(accepted).count() as f64
        };
        if requests(&|_| true) < min as f64 {
            return 0.0;
        }
        // The class and all above, each by both reasons.
        let above = Criticality::ALL.into_iter().filter(|other| *other >= class);
        let reasons = above.flat_map(|class| {
            let wanted = requests(&|other| other == class);
            let formula = |may: f64| (wanted - may) / (wanted + 1.0);
            let own = formula(2.0 * accepts(&|other| other == class));
            let left = 2.0 * accepts(&|_| true) - requests(&|other| other > class);
            let shared = formula(left.max(0.0));
            [if wanted < min as f64 { 0.0 } else { own }, shared]
        });
        reasons.fold(0.0, f64::max).min(0.9)
    }

    fn admit(&mut self, now: u64, class: Criticality, draw: u64, min: u64) -> bool {
        if !self.troubled {
            return true;
        }
        if self
            .seen(now)
            .iter()
            .all(|(_, what)| *what != What::Refused)
        {
            self.troubled = false;
            return true;
        }
        let probability = self.probability(now, class, min);
        let passes = draw as f64 / 2_f64.powi(64) >= probability;
        if !passes {
            self.note(now, class, What::Throttled);
        }
        passes
    }
}

proptest! {
    #[test]
    fn acts_as_the_naive_model(
        ops in prop::collection::vec(op(), 0..300),
        min in prop::sample::select(&[0_u32, 1, 5, 40][..]),
    ) {
        let config = AcceptanceConfig::new().window(Duration::from_nanos(WINDOW));
        let acceptance = build(config.min_requests(min));
        let mut model = Model::default();
        let mut now = 500 * WIDTH;
        for op in ops {
            let moment = Moment::from_nanos(now);
            match op {
                Op::Accept(class) => {
                    acceptance.on_accepted(class, moment);
                    model.note(now, class, What::Accepted);
                }
                Op::Refuse(class) => {
                    acceptance.on_refused(class, moment);
                    model.note(now, class, What::Refused);
                }
                Op::Admit(class, draw) => prop_assert_eq!(
                    acceptance.try_admit(class, || moment, || draw),
                    model.admit(now, class, draw, min.into())
                ),
                Op::Pass(time) => now += time,
                Op::Back(time) => now = now.saturating_sub(time),
                Op::Set(time) => now = time,
            }
            prop_assert_eq!(acceptance.is_troubled(), model.troubled);
            for standing in acceptance.standings(Moment::from_nanos(now)) {
                let class = standing.class;
                let seen = model.seen(now);
                let count = |of: &dyn Fn(What) -> bool| {
                    seen.iter().filter(|(other, what)| *other == class && of(*what)).count() as u64
                };
                let expected = Counts {
                    requests: count(&|_| true),
                    accepts: count(&|what| what == What::Accepted),
                    throttled: count(&|what| what == What::Throttled),
                };
                prop_assert_eq!(standing.counts, expected);
                prop_assert_eq!(standing.probability, model.probability(now, class, min.into()));
            }
        }
    }

    #[test]
    fn any_order_of_times_and_numbers_is_survived(
        ops in prop::collection::vec((class(), any::<u64>(), 0..3_u8), 0..100),
    ) {
        let acceptance = each();
        for (class, now, what) in ops {
            let now = Moment::from_nanos(now);
            match what {
                0 => acceptance.on_accepted(class, now),
                1 => acceptance.on_refused(class, now),
                _ => { let _ = acceptance.try_admit(class, || now, || now.as_nanos()); }
            }
            for standing in acceptance.standings(now) {
                prop_assert!((0.0..=0.9).contains(&standing.probability));
            }
        }
    }
}
