//! The error budget: what counts, when rules fire, and how that is told.

use seaworthy_kit::telemetry::Event;
use seaworthy_kit::testing::{ManualClock, Recorder, conformance};
use seaworthy_kit::{Plain, Verdict};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::budget::{BurnRule, Urgency};

fn budget(clock: &ManualClock) -> ErrorBudget {
    let rule = BurnRule::new(10.0, 3600 * SECOND, Urgency::Page);
    let builder = ErrorBudget::builder("checkout", 0.99).rules([rule]);
    builder
        .period(24 * 3600 * SECOND)
        .clock(clock.clock())
        .build()
        .unwrap()
}

#[test]
fn rule_that_begins_and_ceases_to_fire_is_told_once_each() {
    let clock = ManualClock::new();
    let budget = budget(&clock);
    let recorder = Recorder::new();
    let _subscription = budget.subscribe(recorder.listener());
    // A call in each second: of the first ten minutes one in five fails.
    for second in 0..1800 {
        clock.advance(SECOND);
        budget.record(second % 5 != 0 || second > 600);
    }
    assert_eq!(budget.worst(), None);
    let (urgency, factor) = ("page", 10.0);
    let change = |fires| Event::BurnChanged {
        urgency,
        factor,
        fires,
    };
    assert_eq!(recorder.events(), [change(true), change(false)]);
    let left = budget.remaining();
    // 121 of 1800 failed, where 18 may.
    assert!((left + 5.72).abs() < 0.02, "{left}");
}

#[test]
fn calls_count_at_once_for_who_looks() {
    let clock = ManualClock::new();
    let budget = budget(&clock);
    (0..99).for_each(|_| budget.record(false));
    assert_eq!(
        budget.pressure(Urgency::Page),
        0.0,
        "too few to say anything"
    );
    budget.record(false);
    assert!((budget.pressure(Urgency::Page) - 10.0).abs() < 1e-6);
    assert_eq!(budget.worst(), Some(Urgency::Page));
    assert_eq!(budget.pressure(Urgency::Ticket), 0.0);
    assert_eq!(budget.burns().len(), 1);
}

#[test]
fn option_that_cannot_work_is_an_error_when_built() {
    assert!(ErrorBudget::builder("x", 1.0).build().is_err());
    assert!(
        ErrorBudget::builder("x", 0.999)
            .period(SECOND)
            .build()
            .is_err()
    );
    let rule = BurnRule::new(0.0, 3600 * SECOND, Urgency::Page);
    assert!(
        ErrorBudget::builder("x", 0.999)
            .rules([rule])
            .build()
            .is_err()
    );
}

#[tokio::test]
async fn layer_counts_failures_and_refusals_and_not_what_was_given_up() {
    let clock = ManualClock::new();
    let budget = ErrorBudget::builder("x", 0.5)
        .rules([])
        .clock(clock.clock())
        .build()
        .unwrap();
    let layer = ErrorBudgetLayer::plain(&budget).traffic(Plain::classify(
        |result: Result<&u32, &BoxError>| match result {
            Ok(9) => Verdict::IGNORED,
            Ok(_) => Verdict::SUCCESS,
            Err(_) => Verdict::FAILURE,
        },
    ));
    let service = layer.layer(service_fn(|n: u32| async move {
        match n {
            0 => Err(BoxError::from("down")),
            1 => Err(Box::new(Rejection::new(RejectionKind::Shed, "x".into())) as BoxError),
            2 => pending().await,
            other => Ok(other),
        }
    }));
    let ask = |n| service.clone().oneshot(n);
    assert!(ask(0).await.is_err() && ask(1).await.is_err());
    assert!(ask(3).await.is_ok() && ask(9).await.is_ok());
    let mut left = tokio_test::task::spawn(ask(2));
    assert!(left.poll().is_pending());
    drop(left);
    // Of three that count two failed, where half may.
    assert!((budget.remaining() - (1.0 - 4.0 / 3.0)).abs() < 1e-9);
}

mod contract {
    use super::*;

    fn layer() -> ErrorBudgetLayer<Plain> {
        ErrorBudgetLayer::plain(&ErrorBudget::builder("x", 0.999).build().unwrap())
    }

    conformance! {
        layer: layer,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer: &ErrorBudgetLayer<Plain>| layer.handle().in_flight(),
        events: |layer: &ErrorBudgetLayer<Plain>, recorder| {
            layer.handle().subscribe(recorder.listener()).forever();
        },
        drains: |layer: &ErrorBudgetLayer<Plain>| layer.handle().drain(),
        meddles: |layer: &ErrorBudgetLayer<Plain>, _| layer.handle().control().resume(),
    }
}
