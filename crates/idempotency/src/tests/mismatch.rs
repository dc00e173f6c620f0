//! The same key for another request.

use super::*;

#[tokio::test(start_paused = true)]
async fn another_body_with_the_same_key_is_refused() {
    // IK-3, IK-5.
    let bench = Bench::new();
    bench.run(post("k", "{\"amount\":100}"), reply(200, "first"));
    let refused = bench.answered(post("k", "{\"amount\":900}"));
    assert!(!refused.headers().contains_key("retry-after"));
    assert!(
        refused
            .extensions()
            .get::<seaworthy_kit::Rejection>()
            .is_some()
    );
    assert_eq!(problem(refused), (422, "key-reused".into()));
    assert_eq!(
        read(bench.answered(post("k", "{\"amount\":100}"))).2,
        "first"
    );
}

#[tokio::test(start_paused = true)]
async fn mismatch_is_found_while_the_first_still_runs() {
    // IK-7: the mismatch before the request in progress.
    let bench = Bench::new();
    let mut first = bench.call(payment("k"));
    assert_pending!(first.poll());
    let refused = problem(bench.answered(post("k", "another")));
    assert_eq!(refused, (422, "key-reused".into()));
    assert_eq!(problem(bench.answered(payment("k"))).0, 409);
}

#[tokio::test(start_paused = true)]
async fn target_content_type_and_chosen_headers_are_part_of_the_request() {
    // IK-9: what is asked for is more than its body.
    let chosen = http::HeaderName::from_static("x-currency");
    let bench = Bench::with(|options| options.fingerprint_headers([chosen]));
    let request = |set: &[(&'static str, &'static str)], query: &str| {
        let mut request = payment("k");
        for (name, value) in set {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        *request.uri_mut() = format!("/v1/payments{query}").parse().unwrap();
        request
    };
    bench.run(request(&[("x-currency", "EUR")], "?dry=0"), reply(200, ""));
    for (set, query) in [
        (&[("x-currency", "USD")][..], "?dry=0"),
        (&[], "?dry=0"),
        (&[("x-currency", "EUR"), ("x-currency", "EUR")], "?dry=0"),
        (&[("x-currency", "EUR")], "?dry=1"),
        (
            &[("x-currency", "EUR"), ("content-type", "text/plain")],
            "?dry=0",
        ),
    ] {
        let refused = problem(bench.answered(request(set, query)));
        assert_eq!(refused.0, 422, "{set:?} {query}");
    }
    // What is not chosen may differ: a client that retries has another trace.
    let traced = [("x-currency", "EUR"), ("traceparent", "00-1-2-01")];
    assert!(read(bench.answered(request(&traced, "?dry=0"))).1);
}

#[tokio::test(start_paused = true)]
async fn body_in_other_frames_is_the_same_body() {
    // IK-9: the digest streams, and does not see where frames end.
    use http_body::Frame;
    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    let service = layer.layer(service_fn(|_| async {
        Ok::<_, BoxError>(reply(200, "once"))
    }));
    let request = |pieces: &[&'static str]| {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::from(*piece))))
            .collect();
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        Request::post("/")
            .header("idempotency-key", "k")
            .body(body)
            .unwrap()
    };
    service
        .clone()
        .oneshot(request(&["ab", "c"]))
        .await
        .unwrap();
    let again = service
        .clone()
        .oneshot(request(&["a", "", "bc"]))
        .await
        .unwrap();
    assert!(read(again).1);
    let other = service.oneshot(request(&["ab"])).await.unwrap();
    assert_eq!(other.status(), 422);
}

#[tokio::test(start_paused = true)]
async fn status_of_a_mismatch_may_be_another() {
    // IK-5: 422 collides with validation in some APIs.
    let bench = Bench::with(|options| options.mismatch_status(StatusCode::CONFLICT));
    bench.run(payment("k"), reply(200, ""));
    let refused = problem(bench.answered(post("k", "another")));
    assert_eq!(refused, (409, "key-reused".into()));
}
