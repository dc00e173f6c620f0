//! Which answers are stored, and what the next request finds where one is not.

use super::*;

#[tokio::test(start_paused = true)]
async fn settled_answers_are_stored_and_passing_ones_are_not() {
    // IK-8: success or error. IK-23: 429 and 503 are never stored.
    let stored = [200, 201, 204, 302, 400, 402, 404, 409, 422];
    let passing = [408, 425, 429, 500, 502, 503, 504];
    for status in stored {
        let bench = Bench::new();
        bench.run(payment("k"), reply(status, "first"));
        assert_eq!(bench.store.is(), "completed", "{status}");
        assert_eq!(read(bench.answered(payment("k"))).0, status);
    }
    for status in passing {
        let bench = Bench::new();
        let first = bench.run(payment("k"), reply(status, "first"));
        assert_eq!(read(first), (status, false, "first".into()));
        assert_eq!(bench.store.is(), "overdue", "{status}");
        assert_eq!(bench.results(), ["ran", "gave_up"]);
        let second = bench.run(payment("k"), reply(200, "second"));
        assert_eq!(read(second).2, "second");
        assert_eq!(bench.results(), ["ran_again"]);
    }
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_not_stored_leaves_the_outcome_unknown_where_that_is_the_choice() {
    // IK-22, pitfall 3: nothing is released after a failure that may have had its effect.
    let store = TestStore::default();
    let layer = IdempotencyLayer::http("payments", store.clone(), Scope::global());
    let bench = Bench::of(store, layer.overdue_is_unknown().build().unwrap());
    bench.run(payment("k"), reply(500, "after the charge"));
    let refused = problem(bench.answered(payment("k")));
    assert_eq!(refused, (409, "outcome-unknown".into()));
}

#[tokio::test(start_paused = true)]
async fn handler_marks_an_answer_final() {
    let bench = Bench::new();
    let mut declined = reply(503, "declined for good");
    declined.extensions_mut().insert(Final);
    bench.run(payment("k"), declined);
    assert_eq!(read(bench.answered(payment("k"))).0, 503);
    // And by word.
    let mut call = bench.call(payment("k-2"));
    assert_pending!(call.poll());
    let mut reached = bench.reached();
    run_of(&mut reached).answer_is_final();
    reached.answer(reply(429, "quota of the month"));
    assert_ready!(call.poll()).unwrap();
    assert_eq!(read(bench.answered(payment("k-2"))).0, 429);
}

#[tokio::test(start_paused = true)]
async fn handler_that_did_nothing_releases_its_key() {
    // Pitfall 10: a validation error does not block the corrected request.
    let bench = Bench::new();
    let mut invalid = reply(422, "amount");
    invalid.extensions_mut().insert(DidNothing);
    let first = bench.run(post("k", "{\"amount\":-1}"), invalid);
    assert_eq!(read(first), (422, false, "amount".into()));
    assert_eq!(bench.store.is(), "absent");
    let corrected = bench.run(post("k", "{\"amount\":1}"), reply(201, "charged"));
    assert_eq!(read(corrected).2, "charged");
    let mut call = bench.call(payment("k-2"));
    assert_pending!(call.poll());
    let mut reached = bench.reached();
    run_of(&mut reached).did_nothing();
    reached.fail("refused before anything");
    assert!(assert_ready!(call.poll()).is_err());
    assert_eq!(bench.store.steps().last(), Some(&"release"));
}

#[tokio::test(start_paused = true)]
async fn stripe_keeps_every_answer() {
    let bench = Bench::with(Builder::stripe_compat);
    for status in [200, 400, 429, 500, 503] {
        let key = status.to_string();
        bench.run(payment(&key), reply(status, "kept"));
        assert_eq!(
            read(bench.answered(payment(&key))),
            (status, true, "kept".into())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn predicate_of_ones_own_decides() {
    let bench = Bench::with(|options| options.store_when(|answer| answer.status.is_success()));
    bench.run(payment("a"), reply(200, ""));
    assert!(read(bench.answered(payment("a"))).1);
    bench.run(payment("b"), reply(404, ""));
    bench.run(payment("b"), reply(200, ""));
}

#[tokio::test(start_paused = true)]
async fn handler_that_fails_or_panics_is_never_released() {
    // Pitfall 3; and a panic means that the outcome is unknown.
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    bench.reached().fail("connection to the gateway lost");
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(error.to_string(), "connection to the gateway lost");
    assert_eq!(bench.store.is(), "overdue");
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    bench.reached().panic();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.poll()));
    assert!(panicked.is_err(), "the panic reaches the caller");
    drop(call);
    turn().await;
    assert_eq!(bench.store.is(), "overdue");
    assert_eq!(
        bench.results(),
        ["ran", "gave_up", "ran_again", "panicked", "gave_up"]
    );
}

#[tokio::test(start_paused = true)]
async fn refusal_of_a_layer_before_the_handler_releases_the_key() {
    use seaworthy_kit::{Rejection, RejectionKind};
    let full = || Rejection::new(RejectionKind::BulkheadFull, "pool".into());
    let bench = Bench::new();
    // As an error, and as what an edge in between made of it.
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    bench.reached().fail(full());
    assert!(assert_ready!(call.poll()).is_err());
    assert_eq!(bench.store.is(), "absent");
    let mut shed = reply(503, "");
    shed.extensions_mut().insert(full());
    bench.run(payment("k"), shed);
    assert_eq!(bench.store.is(), "absent");
    // A timeout had reached the handler.
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    bench
        .reached()
        .fail(Rejection::new(RejectionKind::TimedOut, "slow".into()));
    assert!(assert_ready!(call.poll()).is_err());
    assert_eq!(bench.store.is(), "overdue");
}

#[tokio::test(start_paused = true)]
async fn run_that_did_nothing_after_one_that_may_have_leaves_the_record() {
    // Pitfall 3: the first may have charged, and only the record knows that there was a first.
    use seaworthy_kit::{Rejection, RejectionKind};
    let bench = Bench::new();
    bench.run(payment("k"), reply(500, "after the charge"));
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let full = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
    bench.reached().fail(full);
    assert!(assert_ready!(call.poll()).is_err());
    let mut nothing = reply(400, "");
    nothing.extensions_mut().insert(DidNothing);
    bench.run(payment("k"), nothing);
    assert_eq!(bench.store.is(), "overdue");
    let other = bench.answered(post("k", "{\"amount\":200}"));
    assert_eq!(problem(other), (422, "key-reused".into()));
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let mut reached = bench.reached();
    assert_eq!(run_of(&mut reached).attempt(), 4);
}

#[tokio::test(start_paused = true)]
async fn rejection_that_a_handler_passes_on_is_not_one_of_a_layer_before_it() {
    use seaworthy_kit::{Rejection, RejectionKind};
    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    let service = layer.layer(service_fn(|_: Asked| async {
        // It has done something already, and its gateway's circuit is open now.
        let _run = current().expect("inside of a run");
        let open = Rejection::new(RejectionKind::CircuitOpen, "gateway".into());
        Err::<Reply, BoxError>(open.into())
    }));
    service.oneshot(payment("k")).await.unwrap_err();
    assert_eq!(store.is(), "overdue");
}

#[tokio::test(start_paused = true)]
async fn inner_service_that_is_never_ready_releases_the_key() {
    let bench = Bench::new();
    bench.remote.fail_readiness();
    let mut call = bench.call(payment("k"));
    assert!(assert_ready!(call.poll()).is_err());
    assert_eq!(bench.store.is(), "absent");
    assert_eq!(bench.results(), ["released"]);
}

#[tokio::test(start_paused = true)]
async fn handler_that_says_that_it_did_nothing_releases_its_key() {
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let mut reached = bench.reached();
    run_of(&mut reached).did_nothing();
    reached.answer(reply(400, "amount"));
    assert_eq!(read(assert_ready!(call.poll()).unwrap()).0, 400);
    assert_eq!(bench.store.is(), "absent");
}

#[tokio::test(start_paused = true)]
async fn handler_that_took_a_child_key_has_been_reached() {
    use seaworthy_kit::{Rejection, RejectionKind};
    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    let service = layer.layer(service_fn(|request: Asked| async move {
        // It has charged, and its ledger's circuit is open now.
        let run = request.extensions().get::<Run>().unwrap();
        assert!(!run.child("charge").is_empty());
        let open = Rejection::new(RejectionKind::CircuitOpen, "ledger".into());
        Err::<Reply, BoxError>(open.into())
    }));
    service.oneshot(payment("k")).await.unwrap_err();
    assert_eq!(store.is(), "overdue");
}

#[tokio::test(start_paused = true)]
async fn refusal_after_an_attempt_that_may_have_arrived_releases_no_key() {
    // A proxy: the layer, a retry, an edge or none, and a bulkhead that is full when the second attempt is due.
    use seaworthy_http::edge::RespondLayer;
    use seaworthy_kit::{Rejection, RejectionKind};
    use seaworthy_retry::RetryLayer;
    type Sent = Request<seaworthy_http::replay::ReplayBody<WholeBody<ReqBody>>>;

    for (first_is_refused, is) in [(false, "overdue"), (true, "absent")] {
        for edge in ["none", "outside of the retry", "inside of the retry"] {
            let store = TestStore::default();
            let layer = options(&store).build().unwrap();
            let attempts = std::sync::atomic::AtomicU32::new(0);
            let upstream = service_fn(move |_: Sent| {
                let before = attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let sent = before == 0 && !first_is_refused;
                async move {
                    let full = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
                    if sent {
                        Ok(reply(503, ""))
                    } else {
                        Err(BoxError::from(full))
                    }
                }
            });
            let upstream = std::sync::Arc::new(tokio::sync::Mutex::new(upstream));
            let upstream = service_fn(move |request| {
                let upstream = upstream.clone();
                async move { upstream.lock().await.call(request).await }
            });
            let retry = || {
                RetryLayer::http("gateway")
                    .retry_refusals(true)
                    .build()
                    .unwrap()
            };
            let respond = RespondLayer::new;
            match edge {
                "none" => drop(
                    layer
                        .layer(retry().layer(upstream))
                        .oneshot(payment("k"))
                        .await
                        .unwrap_err(),
                ),
                "outside of the retry" => {
                    let stack = layer.layer(respond().layer(retry().layer(upstream)));
                    assert_eq!(stack.oneshot(payment("k")).await.unwrap().status(), 503);
                }
                _ => {
                    let stack = layer.layer(retry().layer(respond().layer(upstream)));
                    assert_eq!(stack.oneshot(payment("k")).await.unwrap().status(), 503);
                }
            }
            assert_eq!(store.is(), is, "edge: {edge}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tag_further_out_frees_no_key_whose_request_may_have_arrived() {
    use seaworthy_kit::{Rejection, RejectionKind, Tag, Tagged};

    for (tag, is) in [(Tag::MaybeProcessed, "overdue"), (Tag::NeverSent, "absent")] {
        let bench = Bench::new();
        let mut call = bench.call(payment("k"));
        assert_pending!(call.poll());
        let full = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
        let error = Tagged::new(tag, full);
        bench.reached().fail(Tagged::new(Tag::DoNotRetry, error));
        let _ = assert_ready!(call.poll()).unwrap_err();
        assert_eq!(bench.store.is(), is, "{tag:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_between_two_retries_and_an_edge_frees_no_key_whose_request_may_have_arrived() {
    use seaworthy_http::edge::RespondLayer;
    use seaworthy_kit::{Rejection, RejectionKind};
    use seaworthy_retry::RetryLayer;

    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let upstream = service_fn(move |_| {
        let before = attempts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let full = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
            if before == 0 {
                Ok(reply(503, ""))
            } else {
                Err(BoxError::from(full))
            }
        }
    });
    let inner = RetryLayer::http("inner").build().unwrap();
    let outer = RetryLayer::http("outer").retry_refusals(true);
    let outer = outer.build().unwrap();
    let respond = RespondLayer::new();
    let stack = layer.layer(outer.layer(respond.layer(inner.layer(upstream))));
    assert_eq!(stack.oneshot(payment("k")).await.unwrap().status(), 503);
    assert_eq!(store.is(), "overdue");
}
