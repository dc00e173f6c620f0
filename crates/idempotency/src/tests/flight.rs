//! The same key while the first request still runs.

use super::*;

#[tokio::test(start_paused = true)]
async fn request_in_progress_is_told_with_a_time_to_come_back() {
    // IK-6, IK-16: from what is left of the lease, capped, at least a second.
    let bench = Bench::with(|options| options.max_retry_after(5 * SECOND));
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    let refused = bench.answered(payment("k"));
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(problem(refused), (409, "request-in-progress".into()));
    // A process that stands still does not renew: what is left of its lease is less then.
    tokio::time::advance(LEASE - SECOND / 2).await;
    assert_eq!(bench.answered(payment("k")).headers()["retry-after"], "1");
}

#[tokio::test(start_paused = true)]
async fn waiting_request_gets_the_answer_of_the_first() {
    // IK-16: the wait mode.
    let bench = Bench::with(|options| options.wait(10 * SECOND));
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    let mut second = bench.call(payment("k"));
    assert_pending!(second.poll());
    assert_eq!(bench.layer.handle().snapshot().waiting, 1);
    bench.reached().answer(reply(201, "charge"));
    assert_ready!(first.poll()).unwrap();
    assert!(second.is_woken(), "the end of a run wakes who waits for it");
    assert_pending!(second.poll());
    tokio::time::advance(SECOND).await;
    let second = assert_ready!(second.poll()).unwrap();
    assert_eq!(read(second), (201, true, "charge".into()));
    assert_eq!(bench.layer.handle().snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn wait_without_an_end_waits() {
    let bench = Bench::with(|options| options.wait(Duration::MAX));
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    let mut second = bench.call(payment("k"));
    assert_pending!(second.poll());
    bench.reached().answer(reply(201, "charge"));
    assert_ready!(first.poll()).unwrap();
    assert_pending!(second.poll());
    tokio::time::advance(SECOND).await;
    let second = assert_ready!(second.poll()).unwrap();
    assert_eq!(read(second), (201, true, "charge".into()));
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_its_limit() {
    let bench = Bench::with(|options| options.wait(2 * SECOND));
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    let second = bench.layer.layer(bench.inner.clone()).oneshot(payment("k"));
    let began = tokio::time::Instant::now();
    assert_eq!(problem(second.await.unwrap()).0, 409);
    assert!(began.elapsed() >= 2 * SECOND && began.elapsed() < 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn wait_that_is_dropped_leaves_nothing_behind() {
    let bench = Bench::with(|options| options.wait(10 * SECOND));
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    let mut second = bench.call(payment("k"));
    assert_pending!(second.poll());
    drop(second);
    turn().await;
    let snapshot = bench.layer.handle().snapshot();
    assert_eq!(
        (snapshot.waiting, snapshot.in_flight, snapshot.detached),
        (0, 1, 0)
    );
    bench.reached().answer(reply(200, ""));
    assert_ready!(first.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may() {
    let bench = Bench::with(|options| options.wait(10 * SECOND).max_waiting(1));
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    let mut second = bench.call(payment("k"));
    assert_pending!(second.poll());
    assert_eq!(problem(bench.answered(payment("k"))).0, 409);
}

#[tokio::test(start_paused = true)]
async fn store_that_cannot_wait_is_not_asked_in_a_loop() {
    let bench = Bench::with(|options| options.wait(2 * SECOND));
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    bench.store.breaks("wait", Fault::Fails);
    bench.store.steps();
    let second = bench.layer.layer(bench.inner.clone()).oneshot(payment("k"));
    assert_eq!(problem(second.await.unwrap()).0, 409);
    let steps = bench.store.steps().len();
    assert!(steps < 60, "{steps} steps in two seconds");
}

#[tokio::test(start_paused = true)]
async fn who_waits_takes_over_when_the_first_is_dead() {
    // Pitfalls 2 and 5: the end of a lease, and not of the retention, frees a key, by another claim.
    let bench = Bench::with(|options| options.wait(60 * SECOND));
    let mut dead = bench.call(payment("k"));
    assert_pending!(dead.poll());
    let _dead = bench.reached();
    let waiting = bench.layer.layer(bench.inner.clone());
    let waiting = tokio::spawn(waiting.oneshot(payment("k")));
    tokio::time::sleep(LEASE + SECOND).await;
    let mut second = bench.reached();
    let run = run_of(&mut second);
    assert_eq!((run.attempt(), run.token().number()), (2, 2));
    second.answer(reply(200, "second"));
    assert_eq!(
        read(waiting.await.unwrap().unwrap()),
        (200, false, "second".into())
    );
}

#[tokio::test(start_paused = true)]
async fn of_many_at_once_one_runs() {
    // Pitfall 6, as far as it is the layer's: two layers over one store are two processes.
    let store = TestStore::default();
    let (inner, remote) = Inner::<Asked, Reply>::new();
    let layers = [(); 2].map(|()| options(&store).wait(10 * SECOND).build().unwrap());
    let calls = (0..64).map(|at| {
        let service = layers[at % 2].layer(inner.clone());
        tokio::spawn(service.oneshot(payment("k")))
    });
    let calls: Vec<_> = calls.collect();
    turn().await;
    remote.next_call().unwrap().answer(reply(201, "charge"));
    let mut replayed = 0;
    for call in calls {
        let (status, again, body) = read(call.await.unwrap().unwrap());
        assert_eq!((status, &*body), (201, "charge"));
        replayed += usize::from(again);
    }
    assert_eq!((remote.counts().calls, replayed), (1, 63));
}
