//! What answers of HTTP and gRPC say.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use seaworthy_core::Ratio;
use seaworthy_core::tempo::Advice;

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

/// Review: the first in line, whose turn a stop had reached, took one behind all the others, in the order in which they were polled.
#[tokio::test(start_paused = true)]
async fn stop_leaves_those_who_wait_in_their_order() {
    let layer = layer();
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=5;t=10"#)])).await;
    let mut calls: Vec<_> = (0..3).map(|_| call(&layer.handle())).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    // Their turns are at 2, 4 and 6.
    tokio::time::advance(secs(1)).await;
    layer.handle().stop(secs(4));
    tokio::time::advance(secs(2)).await;
    for call in calls.iter_mut().rev() {
        assert_pending!(call.poll());
    }
    for (at, first) in [(5, 0), (7, 1), (9, 2)] {
        let now = tokio::time::Instant::now();
        tokio::time::advance(secs(2).min(secs(at - 3))).await;
        assert!(now.elapsed() > Duration::ZERO);
        for call in &mut calls[first + 1..] {
            assert_pending!(call.poll());
        }
        assert_ready!(calls[first].poll()).unwrap();
    }
}

/// One whose new turn is too late leaves no hole for those behind it.
#[tokio::test(start_paused = true)]
async fn turn_that_a_stop_moves_too_far_is_the_next_ones() {
    let layer = layer();
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=5;t=10"#)])).await;
    let handle = layer.handle();
    let within = |time| {
        let deadline = seaworthy_core::Deadline::after(seaworthy_kit::clock::now(), time);
        let call = handle.call(|| std::future::ready(Ok::<_, BoxError>(())));
        task::spawn(Box::pin(deadline::scope(deadline, call)))
    };
    let (mut late, mut next) = (within(secs(3)), within(secs(9)));
    assert_pending!(late.poll());
    assert_pending!(next.poll());
    handle.stop(secs(4));
    assert!(late.is_woken(), "at once");
    let error = assert_ready!(late.poll()).unwrap_err();
    let wait = Rejection::find(&*error).unwrap().retry_after();
    assert_eq!(wait, Some(secs(6)), "behind the other");
    assert_pending!(next.poll());
    tokio::time::advance(secs(4)).await;
    assert_ready!(next.poll()).unwrap();
}

/// Those who wait for the end of a stop go one by one where a server says meanwhile that little is left.
#[tokio::test(start_paused = true)]
async fn spread_that_begins_meanwhile_gives_each_a_turn_in_their_order() {
    let layer = layer();
    layer.handle().stop(secs(5));
    let mut calls: Vec<_> = (0..2).map(|_| call(&layer.handle())).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    let mut advice = Advice::new(Ratio::try_new("low", 0.2).unwrap());
    advice.quota(2, Some(secs(6)), None);
    layer.handle().share.learn(&advice);
    tokio::time::advance(secs(5)).await;
    assert_pending!(calls[1].poll());
    assert_ready!(calls[0].poll()).unwrap();
    tokio::time::advance(secs(3)).await;
    assert_ready!(calls[1].poll()).unwrap();
}

/// It was not called: its turn is the next one's. What the error says is heard all the same.
#[tokio::test(start_paused = true)]
async fn call_whose_inner_service_cannot_be_made_ready_gives_its_turn_back() {
    let layer = layer();
    answers(&layer, answer(200, &[("ratelimit", r#""a";r=5;t=10"#)])).await;
    tokio::time::advance(secs(2)).await;
    let (inner, remote) =
        seaworthy_kit::testing::Inner::<Request<()>, Response<Full<Bytes>>>::new();
    let mut service = layer.layer(inner);
    remote.fail_readiness();
    let mut unready = task::spawn(Box::pin(service.call(Request::new(()))));
    assert!(assert_ready!(unready.poll()).is_err());
    assert_ready!(call(&layer.handle()).poll()).unwrap();
}
