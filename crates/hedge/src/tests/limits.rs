//! What keeps hedges back: budgets, a deadline, too many slow calls, the switches.

use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::{Budget, clock};
use tokio_test::{assert_pending, assert_ready};

use super::*;
use crate::BudgetConfig;

fn share(share: f64) -> BudgetConfig {
    BudgetConfig::default().share(share).floor(0)
}

/// Makes so many calls that are answered at once.
fn pass(rig: &mut Rig, calls: u32) {
    for _ in 0..calls {
        let mut call = rig.call();
        rig.remote.next_call().unwrap().answer(1);
        assert_ready!(call.poll()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_in_twenty_gets_a_hedge_by_default() {
    let builder = HedgeLayer::plain("stock").delay(DELAY);
    let mut rig = Rig::new(builder);
    pass(&mut rig, 39);
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(rig.waiting());
    }
    tokio::time::advance(DELAY).await;
    for (call, _) in &mut calls {
        assert_pending!(call.poll());
    }
    assert_eq!(rig.hedges(), 2);
    assert_eq!(rig.withheld(), ["budget"]);
}

#[tokio::test(start_paused = true)]
async fn retry_budget_is_drawn_on_and_not_counted_in() {
    let retries = Budget::try_new(share(0.5)).unwrap();
    let mut counter = retries.counter();
    // What the retry layer outside does.
    (0..2).for_each(|_| retries.offer(&mut counter, clock::now));
    let mut rig = Rig::new(plain().budget(share(1.0)).retry_budget(retries.clone()));
    let (mut call, first, _second) = rig.hedged().await;
    first.answer(1);
    assert_ready!(call.poll()).unwrap();
    assert_eq!(retries.offered(), 2);
    assert_eq!(retries.remaining_ratio(clock::now()), 0.0);

    let before = rig.handle.snapshot().budget_remaining;
    let (mut call, _first) = rig.waiting();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.withheld(), ["retry_budget"]);
    // And the layer's own gets back what was taken for it.
    assert!(rig.handle.snapshot().budget_remaining > before);
}

#[tokio::test(start_paused = true)]
async fn budget_is_shared_by_two_hedging_layers() {
    let budget = Budget::try_new(share(0.5)).unwrap();
    let mut one = Rig::new(plain().budget(budget.clone()));
    let mut other = Rig::new(plain().budget(budget.clone()));
    pass(&mut one, 1);
    let _hedged = other.hedged().await;
    assert_eq!(budget.offered(), 2, "a call of each");
    let (mut call, _first) = one.waiting();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(one.withheld(), ["budget"]);
}

#[tokio::test(start_paused = true)]
async fn early_failure_draws_on_the_budget_too() {
    let mut rig = Rig::new(plain().budget(share(0.01)));
    let (mut call, first) = rig.waiting();
    first.fail(Fault(1));
    assert_eq!(fault(&assert_ready!(call.poll()).unwrap_err()), Some(1));
    assert_eq!(rig.withheld(), ["budget"]);
}

#[tokio::test(start_paused = true)]
async fn no_hedge_is_sent_past_the_deadline_or_close_to_it() {
    for (left, time, sent) in [
        (10 * DELAY, Duration::ZERO, 1),
        (DELAY, Duration::ZERO, 0),
        (3 * DELAY, 2 * DELAY, 1),
        (3 * DELAY - MILLI, 2 * DELAY, 0),
    ] {
        let mut rig = Rig::new(plain().min_attempt_time(time));
        let limit = Deadline::after(clock::now(), left);
        let mut call = rig.call();
        assert!(deadline::sync_scope(limit, || call.poll()).is_pending());
        tokio::time::advance(DELAY).await;
        assert!(deadline::sync_scope(limit, || call.poll()).is_pending());
        assert_eq!(rig.hedges(), sent, "{left:?} {time:?}");
        let reasons: &[_] = if sent == 1 { &[] } else { &["deadline"] };
        assert_eq!(rig.withheld(), reasons);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_calls_are_not_hedged_where_slow_is_the_rule() {
    let mut rig = Rig::new(plain().max_late(0.5));
    pass(&mut rig, 10);
    let mut calls: Vec<_> = (0..30).map(|_| rig.waiting()).collect();
    tokio::time::advance(DELAY).await;
    for (call, _) in &mut calls {
        assert_pending!(call.poll());
    }
    // Of 20 calls nothing else is known than that they are late.
    assert_eq!(rig.hedges(), 19);
    assert_eq!(rig.withheld(), ["too_many_late"; 11]);
}

#[tokio::test(start_paused = true)]
async fn layer_that_is_switched_off_makes_each_call_once() {
    let mut rig = Rig::new(plain());
    let (mut under_way, _first) = rig.waiting();
    rig.handle.set_enabled(false);
    tokio::time::advance(DELAY).await;
    assert_pending!(under_way.poll());
    assert_eq!(rig.remote.counts().calls, 1, "no further hedge");

    let (mut call, first) = rig.waiting();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    first.fail(Fault(1));
    assert_eq!(fault(&assert_ready!(call.poll()).unwrap_err()), Some(1));
    assert_eq!(rig.remote.counts().calls, 2);
    let snapshot = rig.handle.snapshot();
    assert_eq!((snapshot.enabled, snapshot.calls), (false, 1));
    assert!(rig.withheld().is_empty());

    rig.handle.set_enabled(true);
    let _hedged = rig.hedged().await;
    assert_eq!(rig.hedges(), 1);
}

#[tokio::test(start_paused = true)]
async fn observed_hedge_is_told_and_not_sent() {
    let mut rig = Rig::new(plain().budget(share(1.0)));
    rig.handle.control().observe_only(true);
    let (mut call, first) = rig.waiting();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.withheld(), ["observed"]);
    assert_eq!(rig.handle.snapshot().budget_remaining, Some(0.0));
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
    assert_eq!(rig.remote.counts().calls, 1);
}

#[test]
fn options_that_cannot_work_are_errors_that_name_them() {
    let option = |builder: Plain| builder.build().unwrap_err().to_string();
    for hedges in [0, 5, u32::MAX] {
        assert!(option(plain().max_hedges(hedges)).contains("max_hedges"));
    }
    for share in [0.0, -0.1, 1.1, f64::NAN] {
        assert!(
            option(plain().max_late(share)).contains("max_late"),
            "{share}"
        );
    }
    let median = || plain().delay(crate::Percentile::new(0.5));
    assert!(option(median().max_late(0.5)).contains("max_late"));
    assert!(median().max_late(0.6).build().is_ok());
    assert!(option(plain().delay(crate::Percentile::new(1.0))).contains("delay"));
    assert!(option(plain().budget(share(-1.0))).contains("share"));
}

#[test]
fn page_of_the_metrics_has_every_reason() {
    let page = include_str!("../../../../docs/metrics.md");
    for reason in crate::withheld::Withheld::ALL {
        let reason = reason.as_str();
        assert!(page.contains(&format!("`{reason}`")), "{reason}");
    }
}
