//! An owner that comes too late changes nothing, and its caller gets what counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::{Held, Store};

/// The winner ends the run that it took over.
async fn win(bench: &Bench, lease: crate::store::Lease) {
    let run = Run::new(exchange::Key("k".into()), lease, 2, Arc::new(codec()));
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::CREATED;
    let answer = run.answer(&head, b"the winner's").unwrap();
    let held = bench.store.complete(lease, answer, 60 * SECOND).await;
    assert_eq!(held.unwrap(), Held::Yes);
}

#[tokio::test(start_paused = true)]
async fn late_owner_gets_the_answer_of_the_winner() {
    // IK-19, pitfall 4: its completion is refused, discarded and counted.
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let lease = bench.store.steal();
    win(&bench, lease).await;
    bench.reached().answer(reply(201, "the late one's"));
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(read(answer), (201, true, "the winner's".into()));
    assert_eq!(bench.results(), ["ran", "late", "replayed"]);
    assert_eq!(read(bench.answered(payment("k"))).2, "the winner's");
}

#[tokio::test(start_paused = true)]
async fn late_owner_whose_winner_still_runs_is_told_so() {
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    bench.store.steal();
    bench.reached().answer(reply(201, "the late one's"));
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(problem(answer), (409, "request-in-progress".into()));
}

#[tokio::test(start_paused = true)]
async fn late_owner_waits_for_its_winner_as_long_as_any_request_does() {
    // IK-19: the winner's answer, and not its own; without a wait it is told to come back for that.
    for wait in [Duration::ZERO, 10 * SECOND] {
        let bench = Bench::with(|options| options.wait(wait));
        let late = tokio::spawn(bench.layer.layer(bench.inner.clone()).oneshot(payment("k")));
        turn().await;
        let lease = bench.store.steal();
        bench.reached().answer(reply(201, "the late one's"));
        tokio::time::sleep(SECOND).await;
        assert_eq!(late.is_finished(), wait.is_zero());
        win(&bench, lease).await;
        let late = late.await.unwrap().unwrap();
        if wait.is_zero() {
            assert_eq!(late.headers()["retry-after"], "3");
            assert_eq!(problem(late), (409, "request-in-progress".into()));
        } else {
            assert_eq!(read(late), (201, true, "the winner's".into()));
        }
        assert_eq!(read(bench.answered(payment("k"))).2, "the winner's");
    }
}

#[tokio::test(start_paused = true)]
async fn late_owner_whose_winner_is_gone_does_not_run_again() {
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let lease = bench.store.steal();
    bench.store.give_up(lease).await.unwrap();
    bench.reached().answer(reply(201, "the late one's"));
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(problem(answer), (409, "outcome-unknown".into()));
    assert_eq!(bench.store.is(), "overdue");
}

#[tokio::test(start_paused = true)]
async fn late_owner_can_neither_release_nor_give_up() {
    // IK-19, pitfall 4: whatever way the late one ends.
    for way in 0..3 {
        let bench = Bench::new();
        let mut call = bench.call(payment("k"));
        assert_pending!(call.poll());
        let lease = bench.store.steal();
        let reached = bench.reached();
        match way {
            0 => reached.answer(reply(503, "")),
            1 => {
                let mut nothing = reply(400, "");
                nothing.extensions_mut().insert(DidNothing);
                reached.answer(nothing);
            }
            _ => reached.fail("lost"),
        }
        let told = problem(assert_ready!(call.poll()).unwrap());
        assert_eq!(told, (409, "request-in-progress".into()), "{way}");
        assert_eq!(bench.results(), ["ran", "late", "in_progress"]);
        assert_eq!(bench.store.is(), "running");
        win(&bench, lease).await;
        assert_eq!(read(bench.answered(payment("k"))).2, "the winner's");
    }
}

#[tokio::test(start_paused = true)]
async fn late_owner_whose_answer_is_not_kept_gets_the_winners_too() {
    // IK-19: two callers with one key are not told two things.
    for way in ["500", "error", "did nothing"] {
        let bench = Bench::new();
        bench.store.breaks("renew", Fault::Fails);
        let call = tokio::spawn(bench.call(payment("k")).into_inner());
        turn().await;
        let late = bench.reached();
        tokio::time::sleep(LEASE + SECOND).await;
        let winner = bench.run(payment("k"), reply(200, "winner"));
        assert_eq!(read(winner).2, "winner");
        match way {
            "500" => late.answer(reply(500, "late")),
            "error" => late.fail("late"),
            _ => {
                let mut nothing = reply(422, "late");
                nothing.extensions_mut().insert(DidNothing);
                late.answer(nothing);
            }
        }
        let told = call.await.unwrap().unwrap();
        assert_eq!(read(told), (200, true, "winner".into()), "{way}");
        assert_eq!(read(bench.answered(payment("k"))).2, "winner");
    }
}

#[tokio::test(start_paused = true)]
async fn release_whose_reply_was_lost_leaves_the_key_free() {
    let bench = Bench::new();
    // As a store that sends a step again on a new connection has it: released, and then not its own any more.
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let mut nothing = reply(422, "");
    nothing.extensions_mut().insert(DidNothing);
    bench.store.forget();
    bench.reached().answer(nothing);
    let told = problem(assert_ready!(call.poll()).unwrap());
    assert_eq!(told, (503, "store-unavailable".into()));
    assert_eq!(bench.store.is(), "absent");
}

#[tokio::test(start_paused = true)]
async fn running_owner_renews_its_lease_at_a_third() {
    // Pitfall 15.
    let bench = Bench::new();
    let call = tokio::spawn(bench.layer.layer(bench.inner.clone()).oneshot(payment("k")));
    turn().await;
    bench.store.steps();
    tokio::time::sleep(10 * LEASE + SECOND).await;
    assert_eq!(bench.store.steps(), ["renew"; 30]);
    bench.reached().answer(reply(200, "after ten leases"));
    assert_eq!(read(call.await.unwrap().unwrap()).2, "after ten leases");
}

#[tokio::test(start_paused = true)]
async fn owner_that_lost_its_lease_is_stopped_and_told() {
    // Pitfall 15: what it was about to commit is not committed; its own tasks can see it.
    struct Sees(Run, Arc<AtomicBool>);
    impl Drop for Sees {
        fn drop(&mut self) {
            self.1.store(self.0.is_lost(), Ordering::SeqCst);
        }
    }
    let bench = Bench::new();
    let saw = Arc::new(AtomicBool::new(false));
    let seen = saw.clone();
    let service = bench.layer.layer(service_fn(move |_: Asked| {
        let seen = seen.clone();
        async move {
            let _sees = Sees(current().expect("inside of a run"), seen);
            std::future::pending::<Result<Reply, BoxError>>().await
        }
    }));
    let call = tokio::spawn(service.oneshot(payment("k")));
    turn().await;
    let lease = bench.store.steal();
    win(&bench, lease).await;
    let answer = call.await.unwrap().unwrap();
    assert_eq!(read(answer), (201, true, "the winner's".into()));
    assert!(
        saw.load(Ordering::SeqCst),
        "its drop saw that the lease was lost"
    );
    assert_eq!(bench.results(), ["ran", "lost", "replayed"]);
}

#[tokio::test(start_paused = true)]
async fn owner_that_stood_still_past_its_lease_goes_on_if_nobody_took_over() {
    // Pitfall 15: a pause of the process, then its timers.
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    tokio::time::advance(3 * LEASE).await;
    assert_pending!(call.poll());
    bench.reached().answer(reply(200, "late and alone"));
    assert_eq!(
        read(assert_ready!(call.poll()).unwrap()).2,
        "late and alone"
    );
}

fn codec() -> codec::Codec {
    codec::Codec {
        compress_above: usize::MAX,
        cipher: None,
    }
}
