//! The error budget: the table of the workbook, short and long windows, few calls, and a naive model.

use proptest::prelude::*;

use alloc::vec;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

struct Test {
    budget: ErrorBudget,
    now: Moment,
}

impl Test {
    fn new(config: ErrorBudgetConfig) -> Self {
        Self {
            budget: ErrorBudget::try_new(config).expect("valid"),
            now: Moment::ORIGIN + 1000 * 24 * HOUR,
        }
    }

    /// For so long, of a thousand calls in a minute so many fail.
    fn minutes(&mut self, minutes: u32, bad: u64) {
        for _ in 0..minutes {
            self.now = self.now + MINUTE;
            self.budget.book(Ends::new(1000 - bad, bad), self.now);
        }
    }

    fn fires(&self) -> Vec<f64> {
        let firing = self.budget.burns().filter(|burn| burn.fires);
        firing.map(|burn| burn.rule.factor).collect()
    }
}

fn sre() -> ErrorBudgetConfig {
    ErrorBudgetConfig::new(0.999)
}

fn one(rule: BurnRule) -> ErrorBudgetConfig {
    sre().rules([rule])
}

#[test]
fn option_that_cannot_work_is_refused() {
    let rule = BurnRule::new(2.0, HOUR, Urgency::Page);
    for (wrong, option) in [
        (ErrorBudgetConfig::new(1.0), "objective"),
        (ErrorBudgetConfig::new(0.0), "objective"),
        (ErrorBudgetConfig::new(f64::NAN), "objective"),
        // Every call would have to fail more than once.
        (ErrorBudgetConfig::new(0.9), "factor"),
        (one(BurnRule::new(0.0, HOUR, Urgency::Page)), "factor"),
        (one(BurnRule::new(f64::NAN, HOUR, Urgency::Page)), "factor"),
        (one(rule.short(2 * HOUR)), "short"),
        (one(rule.short(Duration::ZERO)), "short"),
        (sre().period(HOUR), "long"),
        (sre().period(Duration::ZERO), "period"),
        (sre().period(Duration::MAX), "period"),
        (sre().rules([rule; 9]), "rules"),
    ] {
        let error = ErrorBudget::try_new(wrong).expect_err(option);
        assert_eq!(error.option(), option);
    }
}

#[test]
fn each_rule_of_the_workbook_fires_above_its_factor_only() {
    // In thousandths of calls that fail, for as long as the rule's window.
    for (minutes, bad, expected) in [
        (60, 14, vec![6.0, 1.0]),
        (60, 15, vec![14.4, 6.0, 1.0]),
        (360, 6, vec![1.0]),
        (360, 7, vec![6.0, 1.0]),
        (4320, 1, vec![]),
        (4320, 2, vec![1.0]),
    ] {
        let mut test = Test::new(sre());
        test.minutes(minutes, bad);
        assert_eq!(test.fires(), expected, "{bad} for {minutes} min");
    }
}

#[test]
fn blip_does_not_fire_and_the_end_of_failures_ends_the_rule() {
    let mut test = Test::new(one(BurnRule::new(14.4, HOUR, Urgency::Page)));
    test.minutes(60, 0);
    test.minutes(2, 400);
    let burn = test.budget.burns().next().unwrap();
    assert!(burn.short.unwrap() > 100.0, "two minutes of five");
    assert!(!burn.fires, "13 in the hour: {burn:?}");
    test.minutes(1, 400);
    assert_eq!(test.fires(), [14.4]);
    test.minutes(6, 0);
    let burn = test.budget.burns().next().unwrap();
    assert!(burn.long.unwrap() > 14.4, "{burn:?}");
    assert!(!burn.fires, "the last five minutes were good");
}

#[test]
fn rule_that_is_met_exactly_does_not_fire() {
    let config = ErrorBudgetConfig::new(0.5).rules([BurnRule::new(1.5, HOUR, Urgency::Page)]);
    let mut test = Test::new(config);
    test.minutes(10, 750);
    assert_eq!(test.budget.pressure(Urgency::Page), 1.0);
    assert!(test.fires().is_empty());
    test.minutes(1, 751);
    assert_eq!(test.fires(), [1.5]);
}

#[test]
fn few_calls_fire_nothing() {
    let mut test = Test::new(sre());
    test.budget.book(Ends::new(0, 99), test.now);
    assert!(test.fires().is_empty());
    assert_eq!(test.budget.pressure(Urgency::Page), 0.0);
    test.budget.book(Ends::new(0, 1), test.now);
    assert_eq!(test.fires(), [14.4, 6.0, 1.0]);
}

#[test]
fn budget_remains_by_what_failed_in_the_period() {
    let mut test = Test::new(sre().period(72 * HOUR));
    assert_eq!(test.budget.remaining(), 1.0);
    test.budget.book(Ends::new(9_995, 5), test.now);
    assert!((test.budget.remaining() - 0.5).abs() < 1e-9);
    test.budget.book(Ends::new(0, 10), test.now);
    assert!(test.budget.remaining() < 0.0, "overdrawn");
    assert_eq!(test.budget.ends(), Ends::new(9_995, 15));
}

#[test]
fn years_of_silence_are_forgotten_at_once() {
    let mut test = Test::new(sre());
    test.minutes(10, 900);
    test.now = test.now + 100_000 * HOUR;
    let tally = Tally::new(&test.budget);
    test.budget.settle(&tally, test.now);
    assert!(test.fires().is_empty());
    assert_eq!(test.budget.ends(), Ends::default());
}

#[test]
fn equal_windows_are_counted_once() {
    let rule = BurnRule::new(2.0, HOUR, Urgency::Page);
    let test = Test::new(sre().rules([rule, rule.short(HOUR)]).period(HOUR));
    assert_eq!(test.budget.rings.len(), 2);
}

#[test]
fn counted_calls_are_booked_in_their_own_slot() {
    let mut test = Test::new(one(BurnRule::new(14.4, HOUR, Urgency::Page)));
    let tally = Tally::new(&test.budget);
    assert!(tally.is_over(test.now), "of a slot long ago");
    test.budget.settle(&tally, test.now);
    assert!(!tally.is_over(test.now));
    for _ in 0..1000 {
        tally.count(false);
    }
    // Nothing came for half an hour, and nobody settled.
    test.now = test.now + 30 * MINUTE;
    assert!(tally.is_over(test.now));
    test.budget.settle(&tally, test.now);
    let burn = test.budget.burns().next().unwrap();
    assert_eq!(burn.short, None, "they are half an hour old");
    assert_eq!(burn.long.map(f64::round), Some(1000.0));
}

#[test]
fn late_thread_does_not_bring_an_old_slot_back() {
    let tally = Tally::with_slot(MINUTE);
    let now = Moment::ORIGIN + 100 * MINUTE;
    let _ = tally.take(now);
    assert!(!tally.is_over(now - Duration::from_nanos(1)));
    assert!(tally.is_over(now - 5 * MINUTE), "a clock that was set back");
}

#[test]
fn more_urgent_rule_is_the_worst() {
    let mut test = Test::new(sre());
    test.minutes(4320, 2);
    assert_eq!(test.budget.worst(), Some(Urgency::Ticket));
    test.minutes(60, 20);
    assert_eq!(test.budget.worst(), Some(Urgency::Page));
}

/// All ends of calls with their bucket, for one window.
#[derive(Default)]
struct Model {
    width: u64,
    newest: u64,
    ends: Vec<(u64, Ends)>,
}

impl Model {
    fn advance(&mut self, now: u64) {
        let number = now / self.width;
        if self.newest.saturating_sub(number) >= 60 {
            self.ends.clear();
            self.newest = number;
        }
        self.newest = self.newest.max(number);
    }

    fn sums(&self) -> Ends {
        let fresh = self.ends.iter().filter(|(at, _)| at + 60 > self.newest);
        fresh.fold(Ends::default(), |sums, (_, ends)| sums.plus(*ends))
    }
}

proptest! {
    #[test]
    fn windows_are_those_of_a_list(
        ops in prop::collection::vec(
            (0..20_000_u64, 0..50_u64, 0..50_u64, prop::bool::weighted(0.1)),
            1..80,
        ),
    ) {
        let rule = BurnRule::new(2.0, Duration::from_secs(3600), Urgency::Page);
        let mut test = Test::new(one(rule).period(HOUR * 24).min_calls(30));
        let lengths = [HOUR, 5 * MINUTE, 24 * HOUR];
        let mut models = lengths.map(|window| Model {
            width: window.as_nanos() as u64 / 60,
            ..Model::default()
        });
        for (gap, good, bad, back) in ops {
            let gap = Duration::from_millis(gap * 10);
            test.now = if back { test.now - gap * 60 } else { test.now + gap };
            test.budget.book(Ends::new(good, bad), test.now);
            for model in &mut models {
                model.advance(test.now.as_nanos());
                model.ends.push((model.newest, Ends::new(good, bad)));
            }
            let [long, short, day] = [0, 1, 2].map(|at| models[at].sums());
            prop_assert_eq!(test.budget.ends(), day);
            let burn = test.budget.burns().next().unwrap();
            let rate = |ends: Ends| {
                (ends.all() > 0).then(|| ends.bad as f64 / ends.all() as f64 / (1.0 - 0.999))
            };
            let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-6,
                (a, b) => a == b,
            };
            prop_assert!(close(burn.long, rate(long)), "{burn:?}");
            prop_assert!(close(burn.short, rate(short)), "{burn:?}");
            let expected = short.all() >= 30
                && rate(long).is_some_and(|rate| rate > 2.0)
                && rate(short).is_some_and(|rate| rate > 2.0);
            prop_assert_eq!(burn.fires, expected);
        }
    }

    #[test]
    fn any_numbers_and_times_are_survived(
        ops in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..50),
    ) {
        let mut test = Test::new(sre());
        let tally = Tally::new(&test.budget);
        for (now, good, bad) in ops {
            let now = Moment::from_nanos(now);
            let _ = tally.is_over(now);
            tally.count(good % 2 == 0);
            test.budget.settle(&tally, now);
            test.budget.book(Ends::new(good, bad), now);
            prop_assert!(test.budget.remaining().is_finite());
            for burn in test.budget.burns() {
                prop_assert!(burn.pressure >= 0.0);
            }
        }
    }
}
