//! The inner service's readiness for a hedge, which is that of a clone of its own.

use tokio_test::{assert_pending, assert_ready};

use super::*;

#[tokio::test(start_paused = true)]
async fn hedge_is_not_sent_where_the_service_is_not_ready() {
    let mut rig = Rig::new(plain());
    let (mut call, first) = rig.waiting();
    rig.remote.make_pending();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.withheld(), ["not_ready"]);
    // The clone that stood in line is gone: a turn that came to it would be nobody's.
    assert_eq!(rig.remote.counts().instances, 1);
    rig.remote.make_ready();
    tokio::time::advance(10 * DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 1);
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn closed_service_costs_the_hedge_and_not_the_call() {
    let mut rig = Rig::new(plain());
    let (mut call, first) = rig.waiting();
    rig.remote.fail_readiness();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.withheld(), ["not_ready"]);
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn hedge_waits_for_readiness_beside_the_first_attempt_where_asked() {
    let mut rig = Rig::new(plain().wait_for_ready(true));
    let (mut call, _first) = rig.waiting();
    rig.remote.make_pending();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 1);
    rig.remote.make_ready();
    assert!(call.is_woken());
    assert_pending!(call.poll());
    rig.remote.next_call().expect("the hedge").answer(2);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn first_attempt_is_polled_while_a_hedge_waits_for_readiness() {
    let budget = crate::BudgetConfig::default().share(1.0).floor(0);
    let mut rig = Rig::new(plain().wait_for_ready(true).budget(budget));
    let (mut call, first) = rig.waiting();
    rig.remote.make_pending();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(rig.handle.snapshot().budget_remaining, Some(0.0));
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
    // The hedge was not sent.
    assert_eq!(rig.handle.snapshot().budget_remaining, Some(1.0));
    assert_eq!(rig.hedges(), 0);
}

#[tokio::test(start_paused = true)]
async fn failure_is_told_where_the_only_hedge_is_not_ready() {
    for wait in [false, true] {
        // After an early failure nobody is under way: there is nothing to wait beside.
        let mut rig = Rig::new(plain().wait_for_ready(wait));
        let (mut call, first) = rig.waiting();
        rig.remote.make_pending();
        first.fail(Fault(1));
        assert_eq!(fault(&assert_ready!(call.poll()).unwrap_err()), Some(1));
    }
    // Nor where the first attempt fails while the hedge waits.
    let mut rig = Rig::new(plain().wait_for_ready(true));
    let (mut call, first) = rig.waiting();
    rig.remote.make_pending();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    first.fail(Fault(1));
    assert_eq!(fault(&assert_ready!(call.poll()).unwrap_err()), Some(1));
    assert_eq!(rig.withheld(), ["not_ready"]);
}

#[tokio::test(start_paused = true)]
async fn last_word_ends_a_hedge_that_waits_for_readiness() {
    let budget = crate::BudgetConfig::default().share(1.0).floor(0);
    let final_errors = plain().hedge_error(|_| false);
    let mut rig = Rig::new(final_errors.wait_for_ready(true).budget(budget));
    let (mut call, first) = rig.waiting();
    rig.remote.make_pending();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    rig.remote.make_ready();
    first.fail(Fault(1));
    assert_eq!(fault(&assert_ready!(call.poll()).unwrap_err()), Some(1));
    assert_eq!(rig.remote.counts().calls, 1);
    assert_eq!(rig.handle.snapshot().budget_remaining, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn delay_of_a_further_hedge_counts_from_the_moment_the_last_was_sent() {
    let mut rig = Rig::new(plain().wait_for_ready(true).max_hedges(2));
    let (mut call, _first) = rig.waiting();
    rig.remote.make_pending();
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    // It stands in line for three delays.
    tokio::time::advance(3 * DELAY).await;
    rig.remote.make_ready();
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 2);
    tokio::time::advance(DELAY - MILLI).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 2);
    tokio::time::advance(MILLI).await;
    assert_pending!(call.poll());
    assert_eq!(rig.remote.counts().calls, 3);
}
