//! Bodies that are too long, too slow, or break off.

use seaworthy_http::testing::{BodyRemote, ScriptedBody};

use super::*;

type Streamed = Response<ScriptedBody>;

fn streaming(
    set: impl FnOnce(Options) -> Options,
) -> (
    TestStore,
    Idempotency<Inner<Asked, Streamed>, TestStore, Http>,
    Remote<Asked, Streamed>,
) {
    let store = TestStore::default();
    let (inner, remote) = Inner::new();
    let layer = set(options(&store)).build().unwrap();
    (store, layer.layer(inner), remote)
}

#[tokio::test(start_paused = true)]
async fn request_that_is_too_long_is_refused_before_it_is_claimed() {
    // IK-21: 413, which says the limit.
    let bench = Bench::with(|options| options.max_request_body(10));
    let refused = bench.answered(post("k", "12345678901"));
    let (status, _, body) = read(refused);
    assert_eq!(status, 413);
    assert!(
        body.contains("urn:seaworthy:problem:body-too-large"),
        "{body}"
    );
    assert!(body.contains("\"limit\":10"), "{body}");
    assert!(bench.store.steps().is_empty());
    bench.run(post("k", "1234567890"), reply(200, ""));
}

#[tokio::test(start_paused = true)]
async fn request_that_takes_too_long_to_come_is_refused_before_it_is_claimed() {
    // Pitfall 16; and a client-streaming call with a key, which has no end that anybody should wait for.
    for is_grpc in [false, true] {
        let store = TestStore::default();
        let (inner, remote) = Inner::<Request<WholeBody<ScriptedBody>>, Reply>::new();
        let layer = options(&store).max_read(5 * SECOND).build().unwrap();
        let (body, sender) = BodyRemote::new();
        let mut request = Request::post("/").header("idempotency-key", "k");
        if is_grpc {
            request = request.header("content-type", "application/grpc");
        }
        let request = request.body(body).unwrap();
        let call = tokio::spawn(layer.layer(inner).oneshot(request));
        let began = tokio::time::Instant::now();
        // It does come, a little at a time.
        for _ in 0..4 {
            sender.data("x");
            tokio::time::sleep(SECOND).await;
            assert!(!call.is_finished());
        }
        let refused = call.await.unwrap().unwrap();
        assert_eq!(began.elapsed().as_secs(), 5);
        if is_grpc {
            let status = seaworthy_http::grpc::status(refused.headers());
            let late = seaworthy_http::grpc::GrpcStatus::DeadlineExceeded;
            assert_eq!((refused.status().as_u16(), status), (200, Some(late)));
        } else {
            assert_eq!(problem(refused), (408, "body-too-slow".into()));
        }
        assert!(store.steps().is_empty());
        assert_eq!(remote.counts().calls, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_breaks_off_has_claimed_nothing() {
    // Pitfall 16: also one that waits for `100 Continue`, or is uploaded in chunks.
    let store = TestStore::default();
    let (inner, remote) = Inner::<Request<WholeBody<ScriptedBody>>, Reply>::new();
    let mut service = options(&store).build().unwrap().layer(inner);
    let request = |body| {
        Request::post("/")
            .header("idempotency-key", "k")
            .body(body)
            .unwrap()
    };
    let (body, sender) = BodyRemote::new();
    let mut call = spawn(service.call(request(body)));
    sender.data("half");
    assert_pending!(call.poll());
    sender.fail("connection reset");
    assert!(assert_ready!(call.poll()).is_err());
    // Dropped halfway by a caller that leaves.
    let (body, sender) = BodyRemote::new();
    let mut call = spawn(service.call(request(body)));
    sender.data("half");
    assert_pending!(call.poll());
    drop(call);
    turn().await;
    assert!(store.steps().is_empty());
    assert_eq!(remote.counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_too_long_is_sent_and_never_run_again() {
    // IK-21: outcome known, not stored.
    let bench = Bench::with(|options| options.max_response_body(10));
    let first = bench.run(payment("k"), reply(201, "12345678901"));
    assert_eq!(read(first), (201, false, "12345678901".into()));
    assert_eq!(bench.results(), ["ran", "not_stored"]);
    let again = bench.answered(payment("k"));
    let (status, _, body) = read(again);
    assert_eq!(status, 409);
    assert!(body.contains("problem:outcome-known-not-stored"), "{body}");
    assert!(body.contains("\"original_status\":201"), "{body}");
    let just_fits = bench.run(payment("k-2"), reply(200, "1234567890"));
    assert_eq!(read(just_fits).2, "1234567890");
    assert!(read(bench.answered(payment("k-2"))).1);
}

#[tokio::test(start_paused = true)]
async fn streamed_answer_goes_on_after_the_limit_was_met() {
    // IK-21.
    let (store, mut service, remote) = streaming(|options| options.max_response_body(6));
    let mut call = spawn(service.call(payment("k")));
    assert_pending!(call.poll());
    let (body, sender) = BodyRemote::new();
    remote.next_call().unwrap().answer(Response::new(body));
    sender.data("anchor");
    assert_pending!(call.poll());
    sender.data("age");
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(store.is(), "completed");
    let mut collecting = spawn(answer.into_body().collect());
    assert_pending!(collecting.poll());
    sender.data("s");
    sender.end();
    let collected = assert_ready!(collecting.poll()).unwrap();
    assert_eq!(collected.to_bytes(), "anchorages");
}

#[tokio::test(start_paused = true)]
async fn event_streams_and_marked_ones_are_sent_as_they_come() {
    // IK-21.
    for (key, kind, marked) in [
        ("a", "text/event-stream; charset=utf-8", false),
        ("b", "Multipart/X-Mixed-Replace", false),
        ("c", "application/json", true),
    ] {
        let (store, mut service, remote) = streaming(|options| options);
        let mut call = spawn(service.call(payment(key)));
        assert_pending!(call.poll());
        let (body, sender) = BodyRemote::new();
        let mut answer = Response::new(body);
        answer
            .headers_mut()
            .insert("content-type", kind.parse().unwrap());
        if marked {
            answer.extensions_mut().insert(Streaming);
        }
        remote.next_call().unwrap().answer(answer);
        let answer = assert_ready!(call.poll()).unwrap();
        assert_eq!(store.is(), "completed");
        let mut frame = spawn(async move { answer.into_body().frame().await });
        assert_pending!(frame.poll());
        sender.data("event");
        let frame = assert_ready!(frame.poll()).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "event");
        let mut again = spawn(service.call(payment(key)));
        let refused = assert_ready!(again.poll()).unwrap();
        assert_eq!(refused.status(), 409);
        assert_eq!(remote.counts().calls, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_takes_too_long_is_treated_as_a_stream() {
    let (store, mut service, remote) = streaming(|options| options.stream_after(5 * SECOND));
    let mut call = spawn(service.call(payment("k")));
    assert_pending!(call.poll());
    let (body, sender) = BodyRemote::new();
    remote.next_call().unwrap().answer(Response::new(body));
    sender.data("slow");
    assert_pending!(call.poll());
    tokio::time::advance(4 * SECOND).await;
    assert_pending!(call.poll());
    tokio::time::advance(2 * SECOND).await;
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(store.is(), "completed");
    sender.data("er");
    sender.end();
    let mut collecting = spawn(answer.into_body().collect());
    assert_eq!(
        assert_ready!(collecting.poll()).unwrap().to_bytes(),
        "slower"
    );
}

#[tokio::test(start_paused = true)]
async fn answer_that_breaks_off_is_an_error_and_its_key_not_released() {
    let (store, mut service, remote) = streaming(|options| options);
    let mut call = spawn(service.call(payment("k")));
    assert_pending!(call.poll());
    let (body, sender) = BodyRemote::new();
    remote.next_call().unwrap().answer(Response::new(body));
    sender.data("half");
    sender.fail("gateway gone");
    assert_eq!(
        assert_ready!(call.poll()).unwrap_err().to_string(),
        "gateway gone"
    );
    assert_eq!(store.is(), "overdue");
}

#[tokio::test(start_paused = true)]
async fn upgrade_passes_through_and_is_not_run_again() {
    // Pitfall 17: 101 carries a connection, and no body to keep.
    let bench = Bench::new();
    let upgraded = bench.run(payment("k"), reply(101, ""));
    assert_eq!(upgraded.status(), 101);
    assert_eq!(bench.answered(payment("k")).status(), 409);
}
