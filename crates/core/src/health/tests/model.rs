//! A check beside a naive model that keeps the whole history, under any sequence of acts and any clock.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Ask,
    Renew,
    End(Seen),
    Abandon,
    Timeout,
    /// On, or back.
    Clock(i64),
}

/// All that was seen, in order, and the run under way.
struct Model {
    history: Vec<Seen>,
    /// When each was seen; never later than now.
    times: Vec<u64>,
    /// Whether nothing good had been seen for too long by then.
    too_long: Vec<bool>,
    ended: u64,
    /// Until when, and whether its time was over.
    run: Option<(u64, bool)>,
}

impl Model {
    /// Since when nothing good was seen.
    fn in_error(&self) -> Option<u64> {
        let is_bad = |seen: &&Seen| matches!(seen, Seen::Said(Fail) | Seen::Silence);
        let bad = self.history.iter().rev().take_while(is_bad).count();
        self.times.get(self.times.len() - bad).copied()
    }

    fn see(&mut self, seen: Seen, now: u64, config: &CheckConfig) {
        self.history.push(seen);
        self.times.push(now);
        self.ended = now;
        let lasted = self.in_error().map(|since| now.saturating_sub(since));
        let longest = config.max_time_in_error.map(|it| it.as_millis() as u64);
        let too_long = lasted.zip(longest).is_some_and(|(it, most)| it >= most);
        self.too_long.push(too_long);
    }

    /// What the history says, worked out from its beginning.
    fn status(&self, config: &CheckConfig) -> Option<Status> {
        let mut shown: Option<Status> = None;
        for (place, seen) in self.history.iter().enumerate() {
            let past = &self.history[..=place];
            // The last `n`, silences left out, all failed; and nothing before the check was good counts twice.
            let failed = |n: u32| {
                let said = past.iter().rev().filter(|seen| **seen != Seen::Silence);
                let row = said.take_while(|seen| **seen == Seen::Said(Fail)).count();
                row >= n as usize
            };
            let good = |n: u32| {
                let row = past
                    .iter()
                    .rev()
                    .take_while(|seen| matches!(seen, Seen::Said(Pass | Warn)));
                row.count() >= n as usize
            };
            shown = Some(match (shown, *seen) {
                (None, Seen::Said(status)) => status,
                (Some(Pass | Warn), _) if self.too_long[place] => Fail,
                (Some(Fail), Seen::Said(status)) if good(config.passes) => status,
                (Some(Fail), _) => Fail,
                (_, Seen::Silence) => Warn,
                (_, Seen::Said(Fail)) if failed(config.failures) => Fail,
                (_, Seen::Said(Fail)) => Warn,
                (_, Seen::Said(status)) => status,
            });
        }
        shown
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let seen = prop_oneof![
        3 => Just(Seen::Said(Pass)),
        1 => Just(Seen::Said(Warn)),
        3 => Just(Seen::Said(Fail)),
        1 => Just(Seen::Silence),
    ];
    let act = prop_oneof![
        4 => Just(Act::Ask),
        2 => Just(Act::Renew),
        5 => seen.prop_map(Act::End),
        1 => Just(Act::Abandon),
        2 => Just(Act::Timeout),
        3 => (-8_000..8_000_i64).prop_map(Act::Clock),
    ];
    prop::collection::vec(act, 0..200)
}

proptest! {
    #[test]
    fn check_agrees_with_a_naive_model(
        failures in 1..4_u32,
        passes in 1..4_u32,
        max_age in 0..6_000_u64,
        in_error in proptest::option::of(1..20_000_u64),
        acts in acts(),
    ) {
        let mut config = CheckConfig::new();
        config.failures = failures;
        config.passes = passes;
        config.max_age = Duration::from_millis(max_age);
        config.max_time_in_error = in_error.map(Duration::from_millis);
        let timeout = 3_000;
        let mut check = Check::try_new(config).expect("valid");
        let mut model = Model { history: Vec::new(), times: Vec::new(), too_long: Vec::new(), ended: 0, run: None };
        let (mut now, mut run) = (100_000_u64, None);
        for act in acts {
            match act {
                Act::Clock(by) => now = now.saturating_add_signed(by),
                Act::Ask | Act::Renew => {
                    model.ended = model.ended.min(now);
                    model.times.iter_mut().for_each(|time| *time = now.min(*time));
                    if let Some((until, _)) = &mut model.run {
                        *until = (*until).min(now + timeout);
                    }
                    let fresh = matches!(act, Act::Ask)
                        && !model.history.is_empty()
                        && now - model.ended < max_age;
                    let asked = match act {
                        Act::Ask => check.ask(at(now)),
                        _ => check.renew(at(now)),
                    };
                    match (fresh, model.run) {
                        (true, _) => prop_assert_eq!(asked, Ask::Fresh),
                        (false, Some((_, true))) => {
                            prop_assert_eq!(asked, Ask::Fresh);
                            let longest = config.max_time_in_error.map(|it| it.as_millis() as u64);
                            let lasted = model.in_error().map(|since| now.saturating_sub(since));
                            let too_long = lasted.zip(longest).is_some_and(|(it, most)| it >= most);
                            if too_long && model.status(&config) != Some(Fail) {
                                model.see(Seen::Silence, now, &config);
                            }
                        }
                        (false, Some((until, false))) => {
                            let is_wait = matches!(asked, Ask::Wait { until: it, .. } if it == at(until));
                            prop_assert!(is_wait);
                        }
                        (false, None) => {
                            let Ask::Run(given) = asked else {
                                return Err(TestCaseError::fail("no run"));
                            };
                            prop_assert_eq!(given.until(), at(now + timeout));
                            run = Some(given);
                            model.run = Some((now + timeout, false));
                        }
                    }
                }
                Act::End(seen) => if let Some(run) = run.take() {
                    check.on_end(run, seen, at(now));
                    if let Some((_, false)) = model.run.take() {
                        model.see(seen, now, &config);
                    }
                },
                Act::Abandon => if let Some(run) = run.take() {
                    check.on_abandon(run);
                    model.run = None;
                },
                Act::Timeout => {
                    let number = run.as_ref().map_or(0, Run::number);
                    check.on_timeout(number, at(now));
                    if let Some((until, overdue @ false)) = &mut model.run
                        && now >= *until
                    {
                        *overdue = true;
                        model.see(Seen::Silence, now, &config);
                    }
                }
            }
            let shown = check.shown(at(now));
            prop_assert_eq!(shown.status, model.status(&config));
            prop_assert_eq!(shown.is_running, model.run.is_some());
            let age = now.saturating_sub(model.ended);
            let age = (!model.history.is_empty()).then_some(Duration::from_millis(age));
            prop_assert_eq!(shown.age, age);
        }
    }
}
