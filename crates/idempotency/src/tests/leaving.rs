//! Callers that leave, at every point of a call.

use std::sync::{Arc, Mutex};

use seaworthy_kit::{Criticality, Rejection, RejectionKind, criticality, deadline};

use super::*;

#[tokio::test(start_paused = true)]
async fn handler_runs_on_when_its_caller_leaves() {
    // IK-20.
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let reached = bench.reached();
    drop(call);
    assert!(!reached.is_dropped());
    turn().await;
    assert_eq!(bench.layer.handle().snapshot().detached, 1);
    assert_eq!(problem(bench.answered(payment("k"))).0, 409);
    reached.answer(reply(201, "charge"));
    turn().await;
    let snapshot = bench.layer.handle().snapshot();
    assert_eq!((snapshot.detached, snapshot.in_flight), (0, 0));
    assert_eq!(
        read(bench.answered(payment("k"))),
        (201, true, "charge".into())
    );
    assert_eq!(
        bench.results(),
        ["ran", "detached", "in_progress", "replayed"]
    );
}

#[tokio::test(start_paused = true)]
async fn run_without_a_caller_keeps_its_lease_its_deadline_its_class_and_its_run() {
    let bench = Bench::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = seen.clone();
    let service = bench.layer.layer(service_fn(move |_: Asked| {
        let seen = seeing.clone();
        async move {
            seen.lock().unwrap().push((
                deadline::current(),
                criticality::current(),
                current().map(|run| run.lease()),
            ));
            tokio::time::sleep(3 * LEASE).await;
            seen.lock().unwrap().push((
                deadline::current(),
                criticality::current(),
                current().map(|run| run.lease()),
            ));
            Ok::<_, BoxError>(reply(200, "at last"))
        }
    }));
    let until = deadline::Deadline::after(seaworthy_kit::clock::now(), 10 * LEASE);
    {
        let call = deadline::scope(until, async { service.clone().oneshot(payment("k")).await });
        let mut call = spawn(criticality::scope(Criticality::Sheddable, call));
        assert_pending!(call.poll());
    }
    tokio::time::sleep(3 * LEASE + SECOND).await;
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].0, Some(until));
    assert_eq!(seen[0].1, Some(Criticality::Sheddable));
    assert_eq!(read(bench.answered(payment("k"))).2, "at last");
}

#[tokio::test(start_paused = true)]
async fn caller_that_leaves_cancels_where_that_is_the_choice() {
    let bench = Bench::with(|options| options.cancel_on_disconnect(true));
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let reached = bench.reached();
    drop(call);
    turn().await;
    assert!(reached.is_dropped());
    assert_eq!(bench.store.is(), "overdue");
    assert_eq!(bench.results(), ["ran", "cancelled", "gave_up"]);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_places_a_run_without_a_caller_is_cancelled() {
    // IK-20: bounded.
    let bench = Bench::with(|options| options.max_detached(1));
    let mut calls = ["a", "b"].map(|key| bench.call(payment(key)));
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    let [first, second] = [(); 2].map(|()| bench.reached());
    drop(calls);
    turn().await;
    assert!(!first.is_dropped() && second.is_dropped());
    assert_eq!(bench.layer.handle().snapshot().detached, 1);
    first.answer(reply(200, ""));
    turn().await;
    assert_eq!(bench.layer.handle().snapshot().detached, 0);
    // The place is free again.
    let mut call = bench.call(payment("c"));
    assert_pending!(call.poll());
    let third = bench.reached();
    drop(call);
    turn().await;
    assert!(!third.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn runs_that_are_cancelled_are_bounded_too() {
    // IK-20, pitfall 13: a thousand callers that leave while the store is slow are no thousands of tasks.
    let bench = Bench::with(|options| options.max_detached(0));
    bench.store.faults("give_up", &[Fault::Hangs; 1_024]);
    let mut calls: Vec<_> = (0..1_100)
        .map(|key| bench.call(payment(&key.to_string())))
        .collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    let reached: Vec<_> = std::iter::from_fn(|| bench.remote.next_call()).collect();
    drop(calls);
    // Time stands still until all of them have had their turn.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(reached.iter().all(Exchange::is_dropped));
    let given_up = |steps: Vec<_>| steps.into_iter().filter(|it| *it == "give_up").count();
    assert_eq!(given_up(bench.store.steps()), 1_024);
    assert_eq!(bench.layer.handle().snapshot().in_flight, 1_024);
    // Those beyond are overdue when their lease is over.
    assert_eq!(problem(bench.answered(payment("1099"))).0, 409);
    tokio::time::sleep(LEASE).await;
    assert_eq!(bench.layer.handle().snapshot().in_flight, 0);
    bench.run(payment("1099"), reply(200, ""));
    // And the places are free again.
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    bench.store.steps();
    drop(call);
    turn().await;
    assert_eq!(bench.store.steps(), ["give_up"]);
}

#[tokio::test(start_paused = true)]
async fn request_of_a_caller_that_left_during_its_claim_is_not_kept() {
    // And it reaches nobody, whatever the store says.
    for fault in [Fault::Gated, Fault::Fails] {
        let bench = Bench::with(|options| options.run_unprotected(true));
        bench.store.faults("claim", &[Fault::Hangs, fault]);
        let mut request = payment("k");
        let kept = Arc::new(());
        let is_kept = Arc::downgrade(&kept);
        request.extensions_mut().insert(kept);
        let mut call = bench.call(request);
        assert_pending!(call.poll());
        drop(call);
        assert!(is_kept.upgrade().is_some());
        turn().await;
        assert!(is_kept.upgrade().is_none());
        tokio::time::sleep(2 * SECOND).await;
        bench.store.open_gate();
        turn().await;
        assert_eq!(bench.remote.counts().calls, 0);
        assert_eq!(bench.layer.handle().snapshot().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn caller_that_leaves_during_its_claim_leaves_no_record() {
    // The handler was never reached, so the key is released.
    let bench = Bench::new();
    bench.store.faults("claim", &[Fault::Gated]);
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    drop(call);
    turn().await;
    bench.store.open_gate();
    turn().await;
    assert_eq!(bench.store.is(), "absent");
    assert_eq!(bench.remote.counts().calls, 0);
    assert_eq!(bench.store.steps(), ["claim", "release"]);
}

#[tokio::test(start_paused = true)]
async fn caller_that_leaves_while_the_store_is_told_loses_nothing() {
    // Pitfall 1: dropped at each await between the effect and the record.
    for step in ["complete", "give_up", "release"] {
        let bench = Bench::new();
        bench.store.faults(step, &[Fault::Gated]);
        let mut call = bench.call(payment("k"));
        assert_pending!(call.poll());
        let mut with = reply(if step == "complete" { 200 } else { 500 }, "");
        if step == "release" {
            with.extensions_mut().insert(DidNothing);
        }
        bench.reached().answer(with);
        assert_pending!(call.poll());
        drop(call);
        turn().await;
        bench.store.open_gate();
        turn().await;
        let ended = match step {
            "complete" => "completed",
            "give_up" => "overdue",
            _ => "absent",
        };
        assert_eq!(bench.store.is(), ended);
        assert_eq!(bench.layer.handle().snapshot().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn future_that_was_never_polled_does_nothing() {
    let bench = Bench::new();
    drop(bench.call(payment("k")));
    turn().await;
    assert!(bench.store.steps().is_empty());
    assert_eq!(bench.layer.handle().snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn caller_that_leaves_before_the_inner_service_is_ready_is_served() {
    let bench = Bench::new();
    bench.remote.make_pending();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    drop(call);
    turn().await;
    bench.remote.make_ready();
    turn().await;
    bench.reached().answer(reply(200, "served"));
    turn().await;
    assert_eq!(read(bench.answered(payment("k"))).2, "served");
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_handler_without_a_caller_gives_up() {
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let reached = bench.reached();
    drop(call);
    turn().await;
    reached.panic();
    turn().await;
    assert_eq!(bench.store.is(), "overdue");
    assert_eq!(bench.layer.handle().snapshot().detached, 0);
}

#[tokio::test(start_paused = true)]
async fn handler_that_hangs_holds_its_key_no_longer_than_a_run_may_take() {
    let bench = Bench::new();
    let mut calls = ["left", "stayed"].map(|key| Some(bench.call(payment(key))));
    for call in calls.iter_mut().flatten() {
        assert_pending!(call.poll());
    }
    let reached = [(); 2].map(|()| bench.reached());
    // One caller leaves, the other waits for as long as it takes.
    calls[0] = None;
    let stayed = tokio::spawn(calls[1].take().unwrap().into_inner());
    tokio::time::sleep(20 * LEASE - SECOND).await;
    assert!(reached.iter().all(|reached| !reached.is_dropped()));
    assert_eq!(problem(bench.answered(payment("left"))).0, 409);
    tokio::time::sleep(2 * SECOND).await;
    assert!(reached.iter().all(Exchange::is_dropped));
    let refused = problem(stayed.await.unwrap().unwrap());
    assert_eq!(refused, (409, "outcome-unknown".into()));
    let snapshot = bench.layer.handle().snapshot();
    assert_eq!((snapshot.detached, snapshot.in_flight), (0, 0));
    let overran = bench.results().into_iter().filter(|it| *it == "overran");
    assert_eq!(overran.count(), 2);
    // By the choice for overdue runs.
    for key in ["left", "stayed"] {
        bench.run(payment(key), reply(200, ""));
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_is_given_up_knows_that_another_may_begin() {
    // What it spawned can see it, whether it took too long or was cancelled.
    for cancels in [false, true] {
        let options = |it: Options| it.max_run(SECOND).cancel_on_disconnect(cancels);
        let bench = Bench::with(options);
        let mut call = bench.call(payment("k"));
        assert_pending!(call.poll());
        let mut reached = bench.reached();
        let run = run_of(&mut reached);
        assert!(!run.is_lost());
        if cancels {
            drop(call);
        } else {
            drop(tokio::spawn(call.into_inner()));
        }
        tokio::time::sleep(2 * SECOND).await;
        assert!(reached.is_dropped());
        assert!(run.is_lost(), "{cancels}");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_that_are_taken_back_leave_room_for_runs_that_are_cancelled() {
    let bench = Bench::with(|options| options.cancel_on_disconnect(true));
    let mut call = bench.call(payment("victim"));
    assert_pending!(call.poll());
    let reached = bench.reached();
    bench.store.faults("claim", &[Fault::Fails; 2048]);
    for key in 0..1024 {
        let refused = assert_ready!(bench.call(payment(&key.to_string())).poll());
        assert_eq!(problem(refused.unwrap()).0, 503);
    }
    bench.store.steps();
    drop(call);
    // All of them have a turn, and none has its first try yet.
    tokio::time::sleep(SECOND / 10).await;
    assert!(reached.is_dropped());
    assert_eq!(bench.store.steps(), ["give_up"]);
}

#[tokio::test(start_paused = true)]
async fn place_is_free_when_its_call_is_over_though_its_future_is_kept() {
    let bench = Bench::new();
    bench.store.faults("claim", &[Fault::Fails; 2048]);
    let mut kept = Vec::new();
    for key in 0..1024 {
        let mut call = bench.call(payment(&key.to_string()));
        let refused = assert_ready!(call.poll());
        assert_eq!(problem(refused.unwrap()).0, 503);
        kept.push(call);
    }
    tokio::time::sleep(SECOND).await;
    bench.store.faults("claim", &[Fault::LosesItsReply; 2]);
    let refused = assert_ready!(bench.call(payment("k")).poll());
    assert_eq!(problem(refused.unwrap()).0, 503);
    assert_eq!(bench.store.is(), "running");
    tokio::time::sleep(SECOND).await;
    assert_eq!(bench.store.is(), "absent");
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_those_without_a_caller_and_refuses_new_ones() {
    // IK-20: shutdown.
    let bench = Bench::new();
    let handle = bench.layer.handle();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let reached = bench.reached();
    drop(call);
    turn().await;
    let mut drain = spawn(handle.drain());
    assert_pending!(drain.poll());
    let error = assert_ready!(bench.call(payment("new")).poll()).unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::Draining);
    reached.answer(reply(200, ""));
    turn().await;
    assert_ready!(drain.poll());
    handle.resume();
    bench.run(payment("new"), reply(200, ""));
}

#[test]
fn without_a_runtime_a_dropped_call_is_left_to_its_lease() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut call = bench.call(payment("k"));
    {
        let _entered = runtime.enter();
        assert_pending!(call.poll());
    }
    drop(call);
    assert_eq!(bench.store.is(), "running");
}
