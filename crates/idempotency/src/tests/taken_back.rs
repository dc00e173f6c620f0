//! Claims that the store did not confirm: nothing was reached, and their keys are to be free.

use super::*;

#[tokio::test(start_paused = true)]
async fn claim_whose_replies_are_lost_is_taken_back() {
    // The handler was never reached: its key is free, and not when a lease is over.
    for fault in [Fault::LosesItsReply, Fault::HangsAfter] {
        let bench = Bench::new();
        bench.store.faults("claim", &[fault; 2]);
        let call = bench.layer.layer(bench.inner.clone()).oneshot(payment("k"));
        assert_eq!(problem(call.await.unwrap()).0, 503);
        assert_eq!(bench.store.is(), "running");
        tokio::time::sleep(SECOND).await;
        assert_eq!(bench.store.is(), "absent");
        assert_eq!(bench.layer.handle().snapshot().in_flight, 0);
        bench.run(payment("k"), reply(200, "once"));
    }
}

#[tokio::test(start_paused = true)]
async fn claim_is_taken_back_from_a_store_that_is_away_for_seconds() {
    // Where overdue runs are unknown, its key would be stuck for as long as answers are kept.
    let store = TestStore::default();
    let layer = IdempotencyLayer::http("payments", store.clone(), Scope::global());
    let bench = Bench::of(store, layer.overdue_is_unknown().build().unwrap());
    bench.store.faults("claim", &[Fault::LosesItsReply; 4]);
    assert_eq!(problem(bench.answered(payment("k"))).0, 503);
    tokio::time::sleep(7 * SECOND).await;
    assert_eq!(bench.store.is(), "absent");
    bench.run(payment("k"), reply(200, "once"));
}

#[tokio::test(start_paused = true)]
async fn claims_that_are_taken_back_are_bounded_and_drained() {
    let bench = Bench::new();
    bench.store.faults("claim", &[Fault::Fails; 2 * 1_100]);
    for key in 0..1_100 {
        assert_eq!(problem(bench.answered(payment(&key.to_string()))).0, 503);
    }
    bench.store.steps();
    let handle = bench.layer.handle();
    assert_eq!(handle.snapshot().in_flight, 1_024);
    // Three times each, and no more.
    bench.store.faults("claim", &[Fault::Fails; 4_000]);
    handle.drain().await;
    assert_eq!(bench.store.steps(), ["claim"; 3 * 1_024]);
    handle.resume();
    bench.store.heals();
    bench.run(payment("k"), reply(200, "once"));
}

#[tokio::test(start_paused = true)]
async fn claim_that_is_taken_back_ends_no_run_of_another() {
    let bench = Bench::new();
    bench.store.faults("claim", &[Fault::Fails; 2]);
    assert_eq!(problem(bench.answered(payment("k"))).0, 503);
    // The client comes back at once.
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    tokio::time::sleep(SECOND).await;
    assert_eq!(bench.store.is(), "running");
    bench.reached().answer(reply(200, "once"));
    assert_eq!(read(assert_ready!(call.poll()).unwrap()).2, "once");
}
