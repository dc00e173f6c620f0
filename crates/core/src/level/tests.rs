//! Levels: rules with hysteresis, who beats whom, the way down, noise, and a naive model.

use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct Test {
    levels: Levels,
    now: Moment,
    planned: Level,
    changes: Vec<Change>,
}

impl Test {
    fn new(config: LevelsConfig) -> Self {
        Self {
            levels: Levels::try_new(config).expect("valid"),
            now: Moment::ORIGIN + 10_000 * SECOND,
            planned: Level::Normal,
            changes: Vec::new(),
        }
    }

    /// For so many seconds, an observation in each; the level after each.
    fn seconds(&mut self, seconds: u32, values: &[f64]) -> Level {
        for _ in 0..seconds {
            self.now = self.now + SECOND;
            let change = self.levels.observe(values, self.planned, self.now);
            self.changes.extend(change);
        }
        self.levels.level()
    }

    fn set(&mut self, level: Level, until: Moment) -> Option<Change> {
        self.levels.set(level, until, self.now)
    }
}

fn shed() -> LevelRule {
    LevelRule::new(Level::Reduced, "shed", 0.10).leave(0.05)
}

fn burn() -> LevelRule {
    LevelRule::new(Level::Essential, "burn", 1.0)
}

fn both() -> Test {
    Test::new(LevelsConfig::new().rule(shed()).rule(burn()))
}

#[test]
fn rule_that_cannot_work_is_refused() {
    for (wrong, option) in [
        (LevelRule::new(Level::Normal, "x", 1.0), "level"),
        (LevelRule::new(Level::Reduced, "x", f64::NAN), "enter"),
        (LevelRule::new(Level::Reduced, "x", f64::INFINITY), "enter"),
        (LevelRule::new(Level::Reduced, "x", 1.0).leave(1.0), "leave"),
        (
            LevelRule::new(Level::Reduced, "x", 1.0).leave(f64::NAN),
            "leave",
        ),
        (
            LevelRule::new(Level::Reduced, "x", 1.0).leave(f64::NEG_INFINITY),
            "leave",
        ),
        // Nine tenths of zero are zero.
        (LevelRule::new(Level::Reduced, "x", 0.0), "leave"),
    ] {
        let error = Levels::try_new(LevelsConfig::new().rule(wrong)).expect_err(option);
        assert_eq!(error.option(), option);
    }
    let many = (0..65).fold(LevelsConfig::new(), |config, _| config.rule(shed()));
    assert!(Levels::try_new(many).is_err());
}

#[test]
fn rule_asks_after_its_time_and_ends_after_its_time() {
    let mut test = both();
    // The first observation begins the five seconds.
    assert_eq!(test.seconds(5, &[0.1, 0.0]), Level::Normal);
    assert_eq!(test.seconds(1, &[0.1, 0.0]), Level::Reduced);
    assert_eq!(
        test.levels
            .asking()
            .map(LevelRule::name)
            .collect::<Vec<_>>(),
        ["shed"]
    );
    assert_eq!(
        test.seconds(300, &[0.05, 0.0]),
        Level::Reduced,
        "not below it"
    );
    assert_eq!(test.seconds(30, &[0.0, 0.0]), Level::Reduced);
    assert_eq!(test.seconds(1, &[0.0, 0.0]), Level::Normal);
    assert_eq!(test.changes.len(), 2);
}

#[test]
fn one_good_value_begins_the_time_anew() {
    let mut test = both();
    for _ in 0..10 {
        test.seconds(5, &[0.5, 0.0]);
        test.seconds(1, &[0.09, 0.0]);
    }
    assert!(test.changes.is_empty());
}

#[test]
fn level_comes_down_one_by_one_with_a_hold_on_each() {
    let mut test = both();
    assert_eq!(test.seconds(6, &[0.5, 2.0]), Level::Essential, "at once");
    let mut levels = vec![];
    for _ in 0..100 {
        levels.push(test.seconds(1, &[0.0, 0.0]));
    }
    let lasted = |level| levels.iter().filter(|seen| **seen == level).count();
    assert_eq!(lasted(Level::Essential), 30);
    assert_eq!(lasted(Level::Reduced), 30);
    let causes: Vec<_> = test.changes.iter().map(|change| change.cause).collect();
    assert_eq!(causes, ["burn", "recovered", "recovered"]);
}

#[test]
fn what_another_rule_asks_for_is_where_it_stops() {
    let mut test = both();
    test.seconds(6, &[0.5, 2.0]);
    assert_eq!(test.seconds(200, &[0.5, 0.0]), Level::Reduced);
    assert_eq!(test.changes.last().map(|change| change.cause), Some("shed"));
}

#[test]
fn hand_beats_rules_and_schedule_both_ways() {
    let mut test = both();
    test.planned = Level::Reduced;
    test.seconds(6, &[0.5, 2.0]);
    let change = test.set(Level::Normal, Moment::NEVER).expect("a change");
    assert_eq!((change.to, change.cause), (Level::Normal, "hand"));
    assert_eq!(test.seconds(100, &[0.5, 2.0]), Level::Normal);
    assert!(test.levels.is_by_hand());
    test.set(Level::Maintenance, Moment::NEVER);
    assert_eq!(test.seconds(100, &[0.5, 2.0]), Level::Maintenance);
    let change = test.levels.release(test.now).expect("a change");
    assert_eq!((change.to, change.cause), (Level::Essential, "burn"));
}

#[test]
fn forgotten_hand_ends_by_itself() {
    let mut test = both();
    test.set(Level::Essential, test.now + 10 * SECOND);
    assert_eq!(test.seconds(9, &[0.0, 0.0]), Level::Essential);
    assert_eq!(test.seconds(1, &[0.0, 0.0]), Level::Normal);
    assert!(!test.levels.is_by_hand());
    assert_eq!(test.set(Level::Reduced, test.now), None, "over already");
}

#[test]
fn forgotten_hand_ends_without_an_observation() {
    let mut test = both();
    let until = test.now + 10 * SECOND;
    test.set(Level::Essential, until);
    assert_eq!(test.levels.by_hand_until(), Some(until));
    assert_eq!(test.levels.tick(until - SECOND), None);
    let change = test.levels.tick(until).expect("its time is over");
    assert_eq!((change.to, change.cause), (Level::Normal, "recovered"));
}

#[test]
fn schedule_and_rules_add_to_each_other() {
    let mut test = both();
    test.planned = Level::Maintenance;
    assert_eq!(test.seconds(1, &[0.0, 0.0]), Level::Maintenance);
    assert_eq!(test.changes[0].cause, "schedule");
    assert_eq!(test.seconds(10, &[0.5, 0.0]), Level::Maintenance);
    test.planned = Level::Normal;
    assert_eq!(test.seconds(1, &[0.5, 0.0]), Level::Reduced);
    test.planned = Level::Maintenance;
    test.seconds(1, &[0.0, 0.0]);
    test.planned = Level::Normal;
    assert_eq!(test.seconds(100, &[0.0, 0.0]), Level::Normal);
}

#[test]
fn signal_that_is_no_number_or_missing_changes_nothing() {
    let mut test = both();
    for value in [f64::NAN, 0.5] {
        test.seconds(4, &[0.5, 0.0]);
        test.seconds(1, &[f64::NAN, value]);
    }
    test.seconds(100, &[f64::NAN]);
    test.seconds(100, &[]);
    assert!(test.changes.is_empty());
    test.seconds(6, &[0.5, 0.0]);
    assert_eq!(test.seconds(300, &[]), Level::Reduced);
    assert_eq!(
        test.seconds(6, &[f64::INFINITY, f64::INFINITY]),
        Level::Essential
    );
}

#[test]
fn two_observations_far_apart_are_no_evidence() {
    let mut test = both();
    test.seconds(1, &[0.5, 0.0]);
    test.now = test.now + 3600 * SECOND;
    assert_eq!(test.seconds(1, &[0.5, 0.0]), Level::Normal);
    test.now = test.now + 3600 * SECOND;
    assert_eq!(test.seconds(1, &[0.5, 0.0]), Level::Reduced, "three are");
}

#[test]
fn rule_without_a_time_asks_at_once() {
    let rule = shed()
        .enter_after(Duration::ZERO)
        .leave_after(Duration::ZERO);
    let mut test = Test::new(LevelsConfig::new().rule(rule).hold(Duration::ZERO));
    assert_eq!(test.seconds(1, &[0.1]), Level::Reduced);
    assert_eq!(test.seconds(1, &[0.0]), Level::Normal);
}

#[test]
fn clock_set_back_delays_and_does_not_stop() {
    let mut test = both();
    test.seconds(6, &[0.5, 0.0]);
    test.now = Moment::ORIGIN;
    assert_eq!(test.seconds(29, &[0.0, 0.0]), Level::Reduced);
    assert_eq!(test.seconds(3, &[0.0, 0.0]), Level::Normal);
}

#[test]
fn name_is_read_back() {
    for (index, level) in Level::ALL.into_iter().enumerate() {
        assert_eq!(level.to_string().to_uppercase().parse(), Ok(level));
        assert_eq!(Level::at(level.index()), level);
        assert_eq!(level.index(), index);
    }
    assert!("normal ".parse::<Level>().is_err());
    assert_eq!(Level::at(usize::MAX), Level::Maintenance);
}

/// Noise of a seed: uniform, from -1 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[test]
fn noise_within_the_hysteresis_changes_the_level_once_and_back_once() {
    for seed in 0..50 {
        let mut noise = Noise(seed);
        let mut test = both();
        // A slow swell through both values, with noise of not quite their distance.
        for second in 0..3600 {
            let height = 1.0 - f64::from((second - 1800_i32).abs()) / 1800.0;
            let value = height * 0.2 + 0.024 * noise.next();
            test.seconds(1, &[value, 0.0]);
        }
        assert_eq!(test.changes.len(), 2, "seed {seed}: {:?}", test.changes);
    }
}

#[test]
fn noise_of_any_size_changes_the_level_no_oftener_than_hold_allows() {
    for seed in 0..50 {
        let mut noise = Noise(seed);
        // Without times of its own, so that the hold alone damps.
        let rule = shed()
            .enter_after(Duration::ZERO)
            .leave_after(Duration::ZERO);
        let mut test = Test::new(LevelsConfig::new().rule(rule).hold(60 * SECOND));
        for _ in 0..3600 {
            let value = 0.075 + 0.5 * noise.next();
            test.seconds(1, &[value]);
        }
        assert!(
            test.changes.len() <= 120,
            "seed {seed}: {}",
            test.changes.len()
        );
        assert!(test.changes.len() >= 2, "the noise reaches both values");
    }
}

#[test]
fn noise_around_the_value_does_not_flap_with_the_default_times() {
    for seed in 0..50 {
        let mut noise = Noise(seed);
        let mut test = both();
        for _ in 0..3600 {
            test.seconds(1, &[0.10 + 0.2 * noise.next(), 0.0]);
        }
        // Thirty values in a row below `leave`, of which each is so one time in three, come about never.
        assert!(test.changes.len() <= 1, "seed {seed}: {:?}", test.changes);
    }
}

/// What each rule asks, by the list of all its values.
fn asks(rule: &LevelRule, seen: &[(Moment, f64)]) -> bool {
    let mut is_set = false;
    let mut begin = 0;
    for at in 0..seen.len() {
        let (beyond, time): (&dyn Fn(f64) -> bool, _) = if is_set {
            (&|value| value < rule.leave, rule.leave_after)
        } else {
            (&|value| value >= rule.enter, rule.enter_after)
        };
        if !beyond(seen[at].1) {
            begin = at + 1;
            continue;
        }
        let gaps = seen[begin..=at]
            .windows(2)
            .map(|pair| pair[1].0.since(pair[0].0).min(time / 2));
        if gaps.sum::<Duration>() >= time {
            is_set = !is_set;
            begin = at + 1;
        }
    }
    is_set
}

proptest! {
    #[test]
    fn rules_ask_as_the_naive_model_says(
        ops in prop::collection::vec(
            (0..20_u32, prop_oneof![Just(0.0), Just(0.04), Just(0.07), Just(0.3), Just(f64::NAN)]),
            1..120,
        ),
    ) {
        let rule = shed().leave_after(16 * SECOND).enter_after(6 * SECOND);
        let mut test = Test::new(LevelsConfig::new().rule(rule));
        let mut seen = Vec::new();
        let (mut ruled, mut since) = (Level::Normal, Moment::ORIGIN);
        for (gap, value) in ops {
            test.now = test.now + gap * SECOND;
            let change = test.levels.observe(&[value], Level::Normal, test.now);
            seen.push((test.now, value));
            let asking = asks(&rule, &seen);
            prop_assert_eq!(test.levels.asking().count() == 1, asking);
            let before = ruled;
            if asking && ruled == Level::Normal {
                (ruled, since) = (Level::Reduced, test.now);
            } else if !asking && ruled == Level::Reduced && test.now.since(since) >= 30 * SECOND {
                (ruled, since) = (Level::Normal, test.now);
            }
            prop_assert_eq!(test.levels.level(), ruled);
            prop_assert_eq!(change.is_some(), before != ruled);
        }
    }

    #[test]
    fn any_values_and_times_are_survived(
        ops in prop::collection::vec((any::<u64>(), any::<f64>(), 0..6_u8), 0..100),
    ) {
        let mut test = both();
        let mut before = Level::Normal;
        for (now, value, what) in ops {
            let at = Moment::from_nanos(now);
            let change = match what {
                0 => test.levels.set(Level::at(now as usize % 5), at, at),
                1 => test.levels.release(at),
                _ => test.levels.observe(&[value, value], Level::at(now as usize % 3), at),
            };
            if let Some(change) = change {
                prop_assert_eq!(change.from, before);
                prop_assert_ne!(change.from, change.to);
            }
            prop_assert_eq!(change.map_or(before, |change| change.to), test.levels.level());
            before = test.levels.level();
        }
    }
}
