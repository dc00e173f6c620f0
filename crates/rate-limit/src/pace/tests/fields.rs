//! What answers of HTTP and gRPC say.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

type Fields = &'static [(&'static str, &'static str)];

fn answer(status: u16, fields: Fields) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(Full::default()).unwrap()
}

fn layer() -> PaceLayer<seaworthy_http::Http> {
    let layer = PaceLayer::http("gateway")
        .wait(9, HOUR)
        .max_hint(HOUR)
        .jitter(0.0);
    layer.build().unwrap()
}

/// The layer over a service that gives this answer; bodies are dropped unread.
async fn answers(layer: &PaceLayer<seaworthy_http::Http>, answer: Response<Full<Bytes>>) {
    let inner = service_fn(move |_: Request<()>| {
        let answer = answer.clone();
        std::future::ready(Ok::<_, BoxError>(answer))
    });
    drop(layer.layer(inner).oneshot(Request::new(())).await.unwrap());
}

/// After such an answer: for how many milliseconds the pace stands still, and how it is spread.
async fn after(answer: Response<Full<Bytes>>) -> (Option<u128>, Option<u128>) {
    let layer = layer();
    answers(&layer, answer).await;
    let seen = layer.handle().snapshot();
    let millis = |time: Option<Duration>| time.map(|time| time.as_millis());
    (millis(seen.stopped_for), millis(seen.spacing))
}

#[tokio::test(start_paused = true)]
async fn each_word_of_a_server_is_heeded() {
    let cases: [(u16, Fields, _); 17] = [
        (200, &[], (None, None)),
        (429, &[("retry-after", "9")], (Some(9_000), None)),
        (503, &[("retry-after", "9")], (Some(9_000), None)),
        (500, &[("retry-after", "9")], (None, None)),
        (301, &[("retry-after", "9")], (None, None)),
        (429, &[("retry-after", "0")], (None, None)),
        (429, &[("retry-after", "soon")], (None, None)),
        (429, &[], (None, None)),
        (
            429,
            &[
                ("date", "Fri, 27 Nov 2026 08:00:00 GMT"),
                ("retry-after", "Fri, 27 Nov 2026 08:00:07 GMT"),
            ],
            (Some(7_000), None),
        ),
        (200, &[("ratelimit", r#""a";r=0;t=5"#)], (Some(5_000), None)),
        (
            200,
            &[("ratelimit", r#""a";r=4;t=10"#)],
            (None, Some(2_500)),
        ),
        (200, &[("ratelimit", r#""a";r=11;t=10"#)], (None, None)),
        (
            200,
            &[("ratelimit", r#""a";r=4;t=10, "b";r=0;t=3"#)],
            (Some(3_000), Some(2_500)),
        ),
        // Precedence.
        (
            429,
            &[("retry-after", "2"), ("ratelimit", r#""a";r=0;t=50"#)],
            (Some(2_000), None),
        ),
        // A cache had kept it.
        (
            200,
            &[("ratelimit", r#""a";r=0;t=5"#), ("age", "1")],
            (None, None),
        ),
        // Bytes are no requests.
        (
            200,
            &[
                ("ratelimit", r#""a";r=0;t=5"#),
                ("ratelimit-policy", r#""a";q=9;qu="content-bytes""#),
            ],
            (None, None),
        ),
        (
            200,
            &[("ratelimit", "limit=100, remaining=5, reset=10")],
            (None, Some(2_000)),
        ),
    ];
    for (status, fields, expected) in cases {
        assert_eq!(
            after(answer(status, fields)).await,
            expected,
            "{status} {fields:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_says_when_to_come_back_in_its_details() {
    use seaworthy_http::grpc::{GrpcStatus, TrailersOnly};

    let busy = TrailersOnly::new(GrpcStatus::ResourceExhausted).retry_delay(secs(4));
    assert_eq!(after(busy.into_response()).await, (Some(4_000), None));
}

#[tokio::test(start_paused = true)]
async fn answer_of_an_edge_further_in_is_no_word_of_the_server() {
    let mut refused = answer(
        429,
        &[("retry-after", "9"), ("ratelimit", r#""a";r=0;t=5"#)],
    );
    let rejection = Rejection::new(RejectionKind::RateLimited, "further in".into());
    refused.extensions_mut().insert(rejection);
    assert_eq!(after(refused).await, (None, None));
}

#[tokio::test(start_paused = true)]
async fn word_of_the_head_is_heeded_before_the_body_is_read_and_counts_once() {
    let layer = layer();
    let busy = answer(429, &[("retry-after", "10")]);
    let inner = service_fn(move |_: Request<()>| {
        let (head, _) = busy.clone().into_parts();
        let body = Full::new(Bytes::from_static(b"busy"));
        std::future::ready(Ok::<_, BoxError>(Response::from_parts(head, body)))
    });
    let response = layer.layer(inner).oneshot(Request::new(())).await.unwrap();
    assert_eq!(layer.handle().snapshot().stopped_for, Some(secs(10)));
    tokio::time::advance(secs(6)).await;
    response.into_body().collect().await.unwrap();
    assert_eq!(layer.handle().snapshot().stopped_for, Some(secs(4)));
}

/// What is left is spread: five calls at once go one by one.
#[tokio::test(start_paused = true)]
async fn calls_go_one_by_one_while_little_is_left() {
    let layer = layer();
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=5;t=10"#)])).await;
    let handle = layer.handle();
    let began = tokio::time::Instant::now();
    let mut gone = tokio::task::JoinSet::new();
    for number in 0..5 {
        let handle = handle.clone();
        gone.spawn(async move {
            let call = handle.call(async || Ok::<_, BoxError>(()));
            call.await.unwrap();
            (number, began.elapsed().as_secs())
        });
        tokio::task::yield_now().await;
    }
    let mut gone = gone.join_all().await;
    gone.sort_unstable();
    assert_eq!(gone, [(0, 2), (1, 4), (2, 6), (3, 8), (4, 10)]);
}

#[tokio::test(start_paused = true)]
async fn call_that_gives_up_leaves_its_turn_to_the_next() {
    let layer = layer();
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=5;t=10"#)])).await;
    let handle = layer.handle();
    let waiting = || {
        let mut call = call(&handle);
        assert_pending!(call.poll());
        call
    };
    drop(waiting());
    let mut second = waiting();
    tokio::time::advance(Duration::from_millis(2_001)).await;
    assert_ready!(second.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn answer_that_loosens_the_pace_lets_who_waits_go_on() {
    let layer = layer();
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=1;t=100"#)])).await;
    let handle = layer.handle();
    let mut calls = [call(&handle), call(&handle)];
    calls
        .iter_mut()
        .for_each(|call| assert_pending!(call.poll()));
    // As if a call that had gone before were answered now.
    handle.control().observe_only(true);
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=99;t=1"#)])).await;
    handle.control().observe_only(false);
    for call in &mut calls {
        assert!(call.is_woken());
        assert_ready!(call.poll()).unwrap();
    }
}

/// To refuse a call that the server would have taken helps nobody.
#[tokio::test(start_paused = true)]
async fn nothing_is_spread_where_nobody_waits() {
    let layer = PaceLayer::http("gateway").build().unwrap();
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=5;t=10"#)])).await;
    for _ in 0..9 {
        assert_ready!(call(&layer.handle()).poll()).unwrap();
    }
    tokio::time::advance(secs(10)).await;
    assert_eq!(layer.handle().snapshot().spacing, None);
}

#[tokio::test(start_paused = true)]
async fn servers_have_a_pace_each() {
    let max_keys = NonZeroUsize::new(8).unwrap();
    let layer = PaceLayer::http("partners").keyed(max_keys, seaworthy_http::key::host);
    let inner = service_fn(|request: Request<()>| {
        let busy = request.uri().host() == Some("busy.example");
        let busy = if busy {
            answer(429, &[("retry-after", "5")])
        } else {
            answer(200, &[])
        };
        std::future::ready(Ok::<_, BoxError>(busy))
    });
    let mut service = layer.unwrap().layer(inner);
    let mut get = |uri: &str| {
        let request = Request::get(uri).body(()).unwrap();
        let mut call = task::spawn(service.call(request));
        assert_ready!(call.poll()).is_ok()
    };
    assert!(get("http://busy.example/a"));
    assert!(!get("http://busy.example/b"));
    assert!(get("http://other.example/"));
}
