//! What a recorder sees of each degradation, level, share and budget.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use seaworthy_kit::testing::ManualClock;

use super::*;
use crate::budget::{BurnRule, Urgency};

/// What a recorder has seen: `name{labels} value`.
fn seen(act: impl FnOnce()) -> Vec<String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    ::metrics::with_local_recorder(&recorder, act);
    let all = snapshotter.snapshot().into_vec().into_iter();
    let mut all: Vec<_> = all
        .map(|(key, _, _, value)| {
            let labels = key
                .key()
                .labels()
                .map(|it| format!("{}={}", it.key(), it.value()));
            let labels = labels.collect::<Vec<_>>().join(",");
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(_) => f64::NAN,
            };
            format!("{}{{{labels}}} {value}", key.key().name())
        })
        .collect();
    all.sort();
    all
}

/// Polls a future that is ready at once.
fn run<F: Future>(future: F) -> F::Output {
    tokio_test::block_on(future)
}

#[test]
fn degraded_feature_is_counted_and_a_published_one_is_there_before() {
    let all = seen(|| {
        publish(&["counted"]);
        for _ in 0..2 {
            run(feature("counted").fallback(0).run(down())).unwrap();
        }
        run(feature("counted").fallback(0).run(up(1))).unwrap();
    });
    let counter = |cause: &str, count| {
        format!(
            "seaworthy_degraded_total{{layer=feature,name=counted,cause={cause},substitute=value}} {count}"
        )
    };
    let mut expected: Vec<_> = Cause::WORDS
        .map(|cause| counter(cause, if cause == "failed" { 2 } else { 0 }))
        .into();
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn level_and_its_changes_are_shown() {
    let all = seen(|| {
        let levels = Levels::builder("shop").build().unwrap();
        levels.set(Level::Essential);
    });
    assert_eq!(
        all,
        [
            "seaworthy_level_changes_total{layer=level,name=shop,from=normal,to=essential,cause=hand} 1",
            "seaworthy_level{layer=level,name=shop} 2",
        ]
    );
}

#[test]
fn level_of_levels_that_were_there_before_the_recorder_is_shown_in_the_next_round() {
    let levels = Levels::builder("early").build().unwrap();
    levels.set(Level::Reduced);
    let all = seen(|| levels.observe());
    assert_eq!(all, ["seaworthy_level{layer=level,name=early} 1"]);
}

#[test]
fn share_and_budget_are_shown() {
    let clock = ManualClock::new();
    let all = seen(|| {
        let dimmer = Dimmer::builder("shop", SECOND)
            .most(0.5)
            .clock(clock.clock());
        let dimmer = dimmer.build().unwrap();
        assert_eq!(dimmer.share().as_f64(), 0.5);
        let rules = [
            BurnRule::new(1.0, 3600 * SECOND, Urgency::Page),
            BurnRule::new(0.5, 7200 * SECOND, Urgency::Ticket),
        ];
        let budget = ErrorBudget::builder("shop", 0.5)
            .rules(rules)
            .clock(clock.clock());
        let budget = budget.build().unwrap();
        for call in 0..100 {
            budget.record(call % 2 == 0);
        }
        let _ = budget.remaining();
    });
    assert_eq!(
        all,
        [
            "seaworthy_burn_pressure{layer=error_budget,name=shop,urgency=page} 1",
            "seaworthy_burn_pressure{layer=error_budget,name=shop,urgency=ticket} 2",
            "seaworthy_dimmer_share{layer=dimmer,name=shop} 0.5",
            "seaworthy_error_budget_remaining{layer=error_budget,name=shop} 0",
        ]
    );
}
