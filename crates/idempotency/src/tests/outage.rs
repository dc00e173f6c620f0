//! A store that is down, slow, full, forgetful or damaged.

use super::*;

#[tokio::test(start_paused = true)]
async fn store_that_is_down_refuses_by_default() {
    // IK-18; pitfall 11: nothing stands in for the store.
    let bench = Bench::new();
    bench.store.breaks("claim", Fault::Fails);
    let refused = bench.answered(payment("k"));
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(problem(refused), (503, "store-unavailable".into()));
    assert_eq!(
        bench.results(),
        ["store_failed", "store_failed", "store_unavailable"]
    );
    bench.store.heals();
    bench.run(payment("k"), reply(200, ""));
}

#[tokio::test(start_paused = true)]
async fn step_that_fails_tells_why() {
    let bench = Bench::new();
    let kinds = [Fault::Fails, Fault::Hangs, Fault::IsFull, Fault::IsCorrupt];
    for (fault, cause) in kinds
        .into_iter()
        .zip(["unavailable", "timed_out", "full", "corrupt"])
    {
        bench.store.faults("claim", &[fault]);
        let call = tokio::spawn(
            bench
                .layer
                .layer(bench.inner.clone())
                .oneshot(payment(cause)),
        );
        tokio::time::sleep(2 * SECOND).await;
        if let Some(reached) = bench.remote.next_call() {
            reached.answer(reply(200, ""));
        }
        call.await.unwrap().unwrap();
        let failed = |event: &seaworthy_kit::Event| match event {
            seaworthy_kit::Event::Keyed {
                result: "store_failed",
                cause,
                ..
            } => Some(*cause),
            _ => None,
        };
        let heard = bench.heard.take();
        assert_eq!(
            heard.iter().filter_map(failed).collect::<Vec<_>>(),
            [Some(cause)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn unprotected_runs_are_asked_for_and_loud() {
    // IK-18: fail open.
    let bench = Bench::with(|options| options.run_unprotected(true));
    bench.store.breaks("claim", Fault::Fails);
    for _ in 0..2 {
        let answer = bench.run(payment("k"), reply(200, "unprotected"));
        assert_eq!(read(answer), (200, false, "unprotected".into()));
    }
    let alarms = bench.heard.count(|event| {
        matches!(
            event,
            seaworthy_kit::Event::Keyed {
                result: "unprotected",
                alarming: true,
                ..
            }
        )
    });
    assert_eq!(alarms, 2);
}

#[tokio::test(start_paused = true)]
async fn unprotected_run_is_reported_as_others_are() {
    let bench = Bench::with(|options| options.run_unprotected(true));
    bench.store.breaks("claim", Fault::Fails);
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let reached = bench.reached();
    drop(call);
    turn().await;
    reached.panic();
    turn().await;
    assert_eq!(bench.layer.handle().snapshot().in_flight, 0);
    let failed = ["store_failed"; 2];
    let results = [&failed[..], &["unprotected", "detached", "panicked"]].concat();
    assert_eq!(bench.results(), results);
}

#[tokio::test(start_paused = true)]
async fn unprotected_run_goes_on_when_its_caller_leaves_and_ends_as_others_do() {
    // IK-20: nothing is cut between two effects, with or without a record.
    for (cancels, max_run, is_dropped) in [
        (false, 60 * SECOND, false),
        (true, 60 * SECOND, true),
        (false, SECOND, true),
    ] {
        let bench = Bench::with(|options| {
            let options = options.run_unprotected(true).max_run(max_run);
            options.cancel_on_disconnect(cancels)
        });
        bench.store.breaks("claim", Fault::Fails);
        let mut call = bench.call(payment("k"));
        assert_pending!(call.poll());
        let reached = bench.reached();
        drop(call);
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(reached.is_dropped(), is_dropped);
        let handle = bench.layer.handle();
        assert_eq!(handle.snapshot().detached, usize::from(!is_dropped));
        reached.answer(reply(200, ""));
        turn().await;
        assert_eq!(handle.snapshot().in_flight, 0);
        assert_eq!(
            bench.store.steps(),
            ["claim"; 2],
            "there is no record to end"
        );
    }
    // Who stays is told that nobody knows.
    let bench = Bench::with(|options| options.run_unprotected(true).max_run(SECOND));
    bench.store.breaks("claim", Fault::Fails);
    let call = bench.layer.layer(bench.inner.clone()).oneshot(payment("k"));
    let refused = problem(call.await.unwrap());
    assert_eq!(refused, (409, "outcome-unknown".into()));
}

#[tokio::test(start_paused = true)]
async fn store_that_never_answers_is_waited_for_no_longer_than_may() {
    let bench = Bench::with(|options| options.store_timeout(SECOND));
    for fault in [Fault::Hangs, Fault::HangsAfter] {
        bench.store.heals();
        bench.store.breaks("claim", fault);
        let began = tokio::time::Instant::now();
        let call = bench.layer.layer(bench.inner.clone()).oneshot(payment("k"));
        assert_eq!(problem(call.await.unwrap()).0, 503);
        assert_eq!(began.elapsed().as_secs(), 2, "two tries of a second each");
    }
    assert_eq!(bench.remote.counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn claim_whose_reply_is_lost_finds_itself() {
    let bench = Bench::new();
    bench.store.faults("claim", &[Fault::LosesItsReply]);
    let answer = bench.run(payment("k"), reply(200, "once"));
    assert_eq!(read(answer).2, "once");
    assert_eq!(bench.store.steps(), ["claim", "claim", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn completion_whose_reply_is_lost_is_sent_again() {
    let bench = Bench::new();
    bench.store.faults("complete", &[Fault::LosesItsReply]);
    let call = tokio::spawn(bench.layer.layer(bench.inner.clone()).oneshot(payment("k")));
    turn().await;
    bench.reached().answer(reply(200, "once"));
    assert_eq!(
        read(call.await.unwrap().unwrap()),
        (200, false, "once".into())
    );
    assert_eq!(bench.store.is(), "completed");
}

#[tokio::test(start_paused = true)]
async fn answer_that_cannot_be_stored_is_not_sent() {
    // A second run could give another answer, and the caller would have two.
    let bench = Bench::new();
    bench.store.breaks("complete", Fault::Fails);
    let call = tokio::spawn(bench.layer.layer(bench.inner.clone()).oneshot(payment("k")));
    turn().await;
    bench.reached().answer(reply(200, "unsaid"));
    assert_eq!(
        problem(call.await.unwrap().unwrap()),
        (503, "store-unavailable".into())
    );
    assert_eq!(bench.store.is(), "overdue");
    // The second run is no silent one: it is the builder's choice, and knows that it is the second.
    let mut again = bench.call(payment("k"));
    assert_pending!(again.poll());
    assert_eq!(run_of(&mut bench.reached()).attempt(), 2);
}

#[tokio::test(start_paused = true)]
async fn store_that_lost_its_data_runs_again_with_the_same_child_keys() {
    // The layer cannot know better; the callee does.
    let bench = Bench::new();
    let mut children = Vec::new();
    for _ in 0..2 {
        let mut call = bench.call(payment("k"));
        assert_pending!(call.poll());
        let mut reached = bench.reached();
        let run = run_of(&mut reached);
        assert_eq!(run.attempt(), 1);
        children.push(run.child("charge"));
        reached.answer(reply(200, "charge"));
        let answer = assert_ready!(call.poll()).unwrap();
        assert_eq!(read(answer), (200, false, "charge".into()));
        bench.store.forget();
    }
    assert_eq!(children[0], children[1]);
}

#[tokio::test(start_paused = true)]
async fn store_that_lost_its_data_during_a_run_refuses_its_answer() {
    let bench = Bench::new();
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    bench.store.forget();
    bench.reached().answer(reply(200, "unsaid"));
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(problem(answer), (409, "outcome-unknown".into()));
    assert!(bench.results().contains(&"late"));
}

#[tokio::test(start_paused = true)]
async fn stored_answer_that_is_damaged_runs_nothing() {
    let bench = Bench::new();
    bench.run(payment("k"), reply(200, "charge"));
    for damage in [
        &b""[..],
        &[9, 0, 0],
        &[1, 0],
        &[1, 0, 7],
        &[1, 1, 0, 0, 0, 9, 1],
    ] {
        bench.store.damage(|_| Bytes::copy_from_slice(damage));
        let refused = problem(bench.answered(payment("k")));
        assert_eq!(refused, (503, "store-unavailable".into()));
    }
    assert!(bench.results().contains(&"unreadable"));
}

#[tokio::test(start_paused = true)]
async fn failed_renewals_are_tried_again_within_the_lease() {
    let bench = Bench::new();
    bench.store.faults("renew", &[Fault::Fails, Fault::Hangs]);
    let call = tokio::spawn(bench.layer.layer(bench.inner.clone()).oneshot(payment("k")));
    turn().await;
    tokio::time::sleep(2 * LEASE).await;
    assert!(
        bench
            .store
            .steps()
            .iter()
            .filter(|step| **step == "renew")
            .count()
            >= 6
    );
    assert_eq!(
        problem(bench.answered(payment("k"))).0,
        409,
        "it still has its lease"
    );
    bench.reached().answer(reply(200, "slow"));
    assert_eq!(read(call.await.unwrap().unwrap()).2, "slow");
}

#[tokio::test(start_paused = true)]
async fn shortest_lease_is_renewed_in_time_and_not_in_a_loop() {
    // Also where each second renewal is lost, and found out to be no sooner than may be.
    let lease = Duration::from_millis(100);
    let bench = Bench::with(|options| options.lease(lease).store_timeout(lease / 4));
    for fault in [Fault::None, Fault::Hangs] {
        bench.store.heals();
        bench
            .store
            .faults("renew", &[fault, Fault::None].repeat(500));
        let call = tokio::spawn(bench.layer.layer(bench.inner.clone()).oneshot(payment("k")));
        turn().await;
        bench.store.steps();
        // Looked at without a claim, which would be a step of its own.
        for _ in 0..10_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!bench.store.is_overdue(), "{fault:?}");
        }
        let renewals = bench.store.steps().len();
        assert!((200..=320).contains(&renewals), "{renewals} in 10 s");
        bench.reached().answer(reply(200, "slow"));
        assert_eq!(read(call.await.unwrap().unwrap()).2, "slow");
        bench.store.forget();
    }
}

#[tokio::test(start_paused = true)]
async fn purge_may_take_longer_than_a_step_and_not_for_ever() {
    let bench = Bench::new();
    bench.store.faults("purge", &[Fault::Gated, Fault::Hangs]);
    let handle = bench.layer.handle();
    let mut purge = spawn(handle.purge(10));
    assert_pending!(purge.poll());
    tokio::time::advance(50 * SECOND).await;
    assert_pending!(purge.poll());
    bench.store.open_gate();
    assert_eq!(assert_ready!(purge.poll()).unwrap(), 0);
    let began = tokio::time::Instant::now();
    handle.purge(10).await.unwrap_err();
    assert_eq!(began.elapsed(), 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn stored_answers_are_sealed_and_open_with_their_key_only() {
    #[derive(Debug)]
    struct Shift(u8);
    impl cipher::Cipher for Shift {
        fn seal(&self, _: &[u8], content: &[u8]) -> Result<Vec<u8>, Unreadable> {
            Ok(content
                .iter()
                .map(|byte| byte.wrapping_add(self.0))
                .collect())
        }

        fn open(&self, _: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
            Ok(sealed
                .iter()
                .map(|byte| byte.wrapping_sub(self.0))
                .collect())
        }
    }
    let bench = Bench::with(|options| options.cipher(Shift(1)));
    bench.run(payment("k"), reply(200, "secret"));
    let stored = &bench.store.answers()[0];
    assert!(!stored.windows(6).any(|window| window == b"secret"));
    assert_eq!(read(bench.answered(payment("k"))).2, "secret");
}

#[tokio::test(start_paused = true)]
async fn cipher_that_fails_stores_and_sends_nothing() {
    #[derive(Debug)]
    struct Broken;
    impl cipher::Cipher for Broken {
        fn seal(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, Unreadable> {
            Err(Unreadable)
        }

        fn open(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, Unreadable> {
            Err(Unreadable)
        }
    }
    let bench = Bench::with(|options| options.cipher(Broken));
    let answer = bench.run(payment("k"), reply(200, "secret"));
    assert_eq!(problem(answer).0, 503);
    assert_eq!(bench.store.is(), "overdue");
}
