//! The way of a key from its first request to its repetitions.

use super::*;

#[tokio::test(start_paused = true)]
async fn second_request_with_a_key_gets_the_answer_of_the_first() {
    // IK-8, IK-14: the original carries no mark, its repetition does. IK-23: and it takes nothing of what stands inside.
    let bench = Bench::new();
    let mut created = reply(201, "charge 1");
    created
        .headers_mut()
        .insert("location", "/v1/payments/1".parse().unwrap());
    let first = bench.run(payment("k-1"), created);
    assert_eq!(first.headers()["location"], "/v1/payments/1");
    assert_eq!(read(first), (201, false, "charge 1".into()));
    // One step to begin, one to complete, one for a replay.
    assert_eq!(bench.store.steps(), ["claim", "complete"]);
    let second = bench.answered(payment("k-1"));
    assert_eq!(second.headers()["location"], "/v1/payments/1");
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(read(second), (201, true, "charge 1".into()));
    assert_eq!(bench.store.steps(), ["claim"]);
    assert_eq!(bench.results(), ["ran", "replayed"]);
    let other = bench.run(payment("k-2"), reply(201, "charge 2"));
    assert_eq!(read(other), (201, false, "charge 2".into()));
}

#[tokio::test(start_paused = true)]
async fn handler_gets_the_whole_request_and_knows_its_run() {
    let bench = Bench::new();
    let mut call = bench.call(payment("\"k-1\""));
    assert_pending!(call.poll());
    let mut reached = bench.reached();
    let request = reached.request().unwrap();
    let run = request.extensions().get::<Run>().unwrap().clone();
    assert_eq!((run.key(), run.attempt()), ("k-1", 1));
    assert_eq!(run.token(), run.lease().token);
    assert!(!run.is_lost());
    assert_ne!(run.child("charge"), run.child("refund"));
    assert_eq!(
        read(Response::new(request.into_body())).2,
        "{\"amount\":100}"
    );
    assert_eq!(
        format!("{run:?}"),
        "Run { token: Token(1), attempt: 1, lost: false, .. }"
    );
}

#[tokio::test(start_paused = true)]
async fn answer_is_stored_before_its_first_byte_is_sent() {
    let bench = Bench::new();
    bench.store.faults("complete", &[Fault::Gated]);
    let mut call = bench.call(payment("k-1"));
    assert_pending!(call.poll());
    bench.reached().answer(reply(201, "charge"));
    assert_pending!(call.poll());
    assert_eq!(bench.store.is(), "running");
    bench.store.open_gate();
    assert_ready!(call.poll()).unwrap();
    assert_eq!(bench.store.is(), "completed");
}

#[tokio::test(start_paused = true)]
async fn current_is_the_run_inside_of_the_handler_only() {
    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    assert!(current().is_none());
    let service = layer.layer(service_fn(|request: Asked| async move {
        let run = current().expect("inside of a run");
        let told = request.extensions().get::<Run>().unwrap();
        assert_eq!(run.lease(), told.lease());
        tokio::task::yield_now().await;
        assert!(current().is_some());
        assert!(tokio::spawn(async { current() }).await.unwrap().is_none());
        Ok::<_, BoxError>(reply(200, run.key()))
    }));
    let answer = service.oneshot(payment("k-1")).await.unwrap();
    assert_eq!(read(answer).2, "k-1");
    assert!(current().is_none());
}

#[tokio::test(start_paused = true)]
async fn sequential_requests_on_one_connection_with_one_key_run_once() {
    let bench = Bench::new();
    bench.run(payment("k"), reply(200, "once"));
    for _ in 0..3 {
        assert_eq!(
            read(bench.answered(payment("k"))),
            (200, true, "once".into())
        );
    }
    assert_eq!(bench.remote.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn answer_is_forgotten_after_its_retention() {
    // IK-10: the documented constant.
    let bench = Bench::with(|options| options.retention(60 * SECOND));
    bench.run(payment("k"), reply(200, "first"));
    tokio::time::advance(59 * SECOND).await;
    assert_eq!(read(bench.answered(payment("k"))).2, "first");
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(bench.layer.handle().purge(10).await.unwrap(), 1);
    assert_eq!(bench.store.records(), 0);
    assert_eq!(
        read(bench.run(payment("k"), reply(200, "second"))).2,
        "second"
    );
}
