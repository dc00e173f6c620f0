//! Tables of what a check shows, who runs it, and what many of them amount to.

extern crate std;

use core::time::Duration;
use std::vec::Vec;

use super::Status::{Fail, Pass, Warn};
use super::*;
use crate::Moment;

mod model;

const fn at(millis: u64) -> Moment {
    Moment::from_nanos((1_000_000 + millis) * 1_000_000)
}

fn check(change: impl FnOnce(&mut CheckConfig)) -> Check {
    let mut config = CheckConfig::new();
    change(&mut config);
    Check::try_new(config).expect("valid")
}

/// Runs it once, and gives what it shows after.
fn run(check: &mut Check, seen: Seen) -> Option<Status> {
    let Ask::Run(run) = check.renew(at(0)) else {
        panic!("nobody runs it");
    };
    let before = check.shown(at(0)).status;
    let change = check.on_end(run, seen, at(0));
    let after = check.shown(at(0)).status;
    assert_eq!(
        change.map(|change| (change.from, Some(change.to))),
        (before != after).then_some((before, after)),
    );
    after
}

/// One letter for each run: what it sees, and what is shown after it. `s` is silence.
fn table(failures: u32, passes: u32, seen: &str) -> std::string::String {
    let mut check = check(|config| {
        config.failures = failures;
        config.passes = passes;
    });
    let letter = |seen| match seen {
        'p' => Seen::Said(Pass),
        'w' => Seen::Said(Warn),
        'f' => Seen::Said(Fail),
        _ => Seen::Silence,
    };
    let show = |status| match status {
        Some(Pass) => 'P',
        Some(Warn) => 'W',
        Some(Fail) => 'F',
        None => '?',
    };
    seen.chars()
        .map(|seen| show(run(&mut check, letter(seen))))
        .collect()
}

#[test]
fn status_follows_the_runs_with_hysteresis() {
    for (failures, passes, seen, shown) in [
        // At once, where nothing else is asked for.
        (1, 1, "pwfpfw", "PWFPFW"),
        // The first result decides, good or bad.
        (3, 3, "fppp", "FFFP"),
        (3, 3, "pfff", "PWWF"),
        // Nothing less than a row.
        (3, 2, "pffpffpfffpfpp", "PWWPWWPWWFFFFP"),
        // A warning is no failure: it ends a row of them, and is good enough to come back.
        (2, 2, "pfwfwff", "PWWWWWF"),
        (1, 2, "fww", "FFW"),
        // Silence warns, heals nothing, ends no row of failures and does end one of passes.
        (2, 2, "sp", "WP"),
        (2, 2, "pfsf", "PWWF"),
        (1, 2, "fspsppp", "FFFFFPP"),
    ] {
        assert_eq!(
            table(failures, passes, seen),
            shown,
            "{failures} {passes} {seen}"
        );
    }
}

#[test]
fn one_run_answers_all_who_ask() {
    let mut check = check(|_| {});
    let Ask::Run(run) = check.ask(at(0)) else {
        panic!("the first runs it");
    };
    let until = at(3_000);
    assert_eq!(run.until(), until);
    for _ in 0..3 {
        assert_eq!(check.ask(at(10)), Ask::Wait { number: 1, until });
    }
    assert!(check.is_awaited(1));
    check.on_end(run, Seen::Said(Pass), at(20));
    assert!(!check.is_awaited(1));
    assert_eq!(check.ask(at(5_019)), Ask::Fresh);
    assert!(matches!(check.ask(at(5_020)), Ask::Run(run) if run.number() == 2));
}

#[test]
fn renewal_does_not_care_for_the_age() {
    let mut check = check(|_| {});
    assert_eq!(run(&mut check, Seen::Said(Pass)), Some(Pass));
    assert_eq!(check.ask(at(0)), Ask::Fresh);
    assert!(matches!(check.renew(at(0)), Ask::Run(_)));
}

#[test]
fn run_that_hangs_counts_once_and_is_not_started_again() {
    let mut check = check(|config| config.failures = 1);
    let Ask::Run(run) = check.ask(at(0)) else {
        panic!("the first runs it");
    };
    assert_eq!(check.on_timeout(1, at(2_999)), None, "its time is not over");
    assert_eq!(check.on_timeout(7, at(3_000)), None, "another run's");
    let change = check.on_timeout(1, at(3_000)).expect("it warns");
    assert_eq!((change.from, change.to), (None, Warn));
    assert_eq!(check.on_timeout(1, at(3_000)), None);
    assert!(!check.is_awaited(1));
    assert_eq!(check.ask(at(60_000)), Ask::Fresh, "it hangs, still");
    assert!(check.shown(at(60_000)).is_running);
    // What it sees in the end is of another time.
    assert_eq!(check.on_end(run, Seen::Said(Fail), at(60_000)), None);
    assert_eq!(check.shown(at(60_000)).status, Some(Warn));
    assert!(matches!(check.ask(at(60_000)), Ask::Run(_)));
}

#[test]
fn silence_is_a_failure_where_that_is_wanted() {
    let mut check = check(|config| config.silence_fails = true);
    assert_eq!(run(&mut check, Seen::Silence), Some(Fail));
    let Ask::Run(held) = check.renew(at(10)) else {
        panic!("nobody runs it");
    };
    check.on_end(held, Seen::Said(Pass), at(10));
    let Ask::Run(hangs) = check.renew(at(20)) else {
        panic!("nobody runs it");
    };
    let change = check.on_timeout(hangs.number(), hangs.until());
    assert_eq!(change.map(|change| change.to), Some(Fail));
}

/// One letter for each second: what is seen, and what is shown after it. `-` is a second without a run.
#[test]
fn longest_time_in_error_makes_a_check_fail_before_its_row_is_long_enough() {
    for (failures, seen, shown) in [
        // Three seconds from the first failure on.
        (9, "pffff", "PWWWF"),
        (9, "pf--f", "PW--F"),
        // A row that is long enough sooner is.
        (2, "pff", "PWF"),
        // Silence is time in error, and nothing else; also from the start.
        (9, "ssss", "WWWF"),
        (9, "pfsss", "PWWWF"),
        // What was good in between begins it anew, on both sides.
        (9, "pffpfff", "PWWPWWW"),
        (9, "pffwffff", "PWWWWWWF"),
        (9, "pffffpf--f", "PWWWFPW--F"),
        // It begins with what was seen, not before.
        (9, "p----f", "P----W"),
    ] {
        let mut check = check(|config| {
            config.failures = failures;
            config.max_time_in_error = Some(Duration::from_secs(3));
        });
        let mut told = std::string::String::new();
        for (second, seen) in (0..).zip(seen.chars()) {
            let now = at(second * 1_000);
            let seen = match seen {
                'p' => Seen::Said(Pass),
                'w' => Seen::Said(Warn),
                'f' => Seen::Said(Fail),
                's' => Seen::Silence,
                other => {
                    told.push(other);
                    continue;
                }
            };
            let Ask::Run(run) = check.renew(now) else {
                panic!("nobody runs it");
            };
            check.on_end(run, seen, now);
            told.push_str(&std::format!("{:?}", check.shown(now).status.unwrap())[..1]);
        }
        assert_eq!(told, shown, "{failures} {seen}");
    }
}

/// Whoever asks is told, since the run itself says nothing any more.
#[test]
fn run_that_hangs_for_longer_than_its_check_may_be_in_error_fails() {
    let mut check = check(|config| config.max_time_in_error = Some(Duration::from_secs(10)));
    let Ask::Run(hangs) = check.ask(at(0)) else {
        panic!("the first runs it");
    };
    check.on_timeout(hangs.number(), at(3_000));
    assert_eq!(check.ask(at(12_999)), Ask::Fresh);
    assert_eq!(check.shown(at(12_999)).status, Some(Warn));
    assert_eq!(check.ask(at(13_000)), Ask::Fresh);
    assert_eq!(check.shown(at(13_000)).status, Some(Fail));
    assert_eq!(check.ask(at(60_000)), Ask::Fresh);
    assert_eq!(
        check.shown(at(60_000)).age,
        Some(Duration::from_secs(47)),
        "once"
    );
    assert_eq!(check.on_end(hangs, Seen::Said(Pass), at(60_000)), None);
    assert_eq!(run(&mut check, Seen::Said(Pass)), Some(Pass));
}

#[test]
fn abandoned_run_gives_its_place_back() {
    let mut check = check(|_| {});
    let Ask::Run(run) = check.ask(at(0)) else {
        panic!("the first runs it");
    };
    check.on_abandon(run);
    assert_eq!(check.shown(at(0)).status, None);
    assert!(matches!(check.ask(at(0)), Ask::Run(_)));
}

#[test]
fn stale_result_is_no_result() {
    let mut check = check(|config| config.stale_after = Some(Duration::from_secs(30)));
    run(&mut check, Seen::Said(Pass));
    assert_eq!(check.shown(at(30_000)).status, Some(Pass));
    let stale = check.shown(at(30_001));
    assert_eq!(stale.status, None);
    assert_eq!(stale.age, Some(Duration::from_millis(30_001)));
}

#[test]
fn clock_that_leaps_ahead_and_back_keeps_nothing_fresh() {
    let mut check = check(|_| {});
    let Ask::Run(run) = check.ask(at(0)) else {
        panic!("the first runs it");
    };
    check.on_end(run, Seen::Said(Pass), at(1_000_000));
    assert_eq!(check.ask(at(10)), Ask::Fresh);
    assert!(matches!(check.ask(at(5_010)), Ask::Run(_)));
}

#[test]
fn run_begun_before_a_leap_back_does_not_hold_those_who_wait() {
    let mut check = check(|_| {});
    let Ask::Run(run) = check.ask(at(1_000_000)) else {
        panic!("the first runs it");
    };
    let until = at(3_000);
    assert_eq!(check.ask(at(0)), Ask::Wait { number: 1, until });
    assert!(check.on_timeout(run.number(), until).is_some());
}

#[test]
fn configuration_that_cannot_work_is_refused() {
    let wrong: [fn(&mut CheckConfig); 5] = [
        |config| config.failures = 0,
        |config| config.passes = 0,
        |config| config.timeout = Duration::ZERO,
        |config| config.max_time_in_error = Some(Duration::ZERO),
        |config| config.stale_after = Some(config.max_age),
    ];
    for change in wrong {
        let mut config = CheckConfig::new();
        change(&mut config);
        assert!(Check::try_new(config).is_err(), "{config:?}");
    }
}

fn tally(checks: &[(Impact, Option<Status>)]) -> Tally {
    checks
        .iter()
        .fold(Tally::default(), |tally, (impact, status)| {
            tally.and(*impact, *status)
        })
}

#[test]
fn only_critical_checks_turn_readiness_off() {
    use Impact::{Critical, Degrading, Informational};
    for (checks, overall, ready, passed) in [
        (&[][..], Overall::Healthy, true, true),
        (&[(Critical, Some(Pass))], Overall::Healthy, true, true),
        (&[(Critical, Some(Warn))], Overall::Degraded, true, true),
        (&[(Critical, Some(Fail))], Overall::Unhealthy, false, false),
        (&[(Critical, None)], Overall::Unhealthy, false, false),
        (&[(Degrading, Some(Warn))], Overall::Degraded, true, true),
        (&[(Degrading, Some(Fail))], Overall::Degraded, true, true),
        (&[(Degrading, None)], Overall::Degraded, true, false),
        (&[(Informational, Some(Fail))], Overall::Healthy, true, true),
        (&[(Informational, None)], Overall::Healthy, true, false),
        (
            &[
                (Degrading, Some(Fail)),
                (Critical, Some(Fail)),
                (Critical, Some(Pass)),
            ],
            Overall::Unhealthy,
            false,
            false,
        ),
    ] {
        let tally = tally(checks);
        assert_eq!(tally.overall(), overall, "{checks:?}");
        assert_eq!(tally.is_ready(), ready, "{checks:?}");
        assert_eq!(tally.has_passed(), passed, "{checks:?}");
    }
}

#[test]
fn start_happens_once_and_a_drain_is_for_ever() {
    let good = tally(&[(Impact::Critical, Some(Pass))]);
    let bad = tally(&[(Impact::Critical, Some(Fail))]);
    let mut stage = Stage::default();
    assert!(!stage.on_round(bad, false));
    assert!(!stage.on_round(good, true), "somebody holds it up");
    assert!(!stage.is_ready(good, true));
    assert!(stage.on_round(good, false));
    assert!(stage.is_ready(good, true), "too late to hold it up");
    assert!(!stage.on_round(good, false), "once");
    assert!(!stage.on_round(bad, false));
    assert!(stage.is_started(), "a start is not taken back");
    assert!(!stage.is_ready(bad, false));
    assert!(stage.on_drain());
    assert!(!stage.on_drain(), "once");
    assert!(stage.is_draining() && !stage.is_ready(good, false));
    assert!(stage.is_started());
}

#[test]
fn words_and_levels_are_those_of_the_format() {
    let names: Vec<_> = [Pass, Warn, Fail]
        .map(|status| (status.name(), status.level()))
        .into();
    assert_eq!(names, [("pass", 0), ("warn", 1), ("fail", 2)]);
    let all = [Overall::Healthy, Overall::Degraded, Overall::Unhealthy];
    assert_eq!(all.map(Overall::name), ["healthy", "degraded", "unhealthy"]);
    assert_eq!(all.map(Overall::status), [Pass, Warn, Fail]);
}
