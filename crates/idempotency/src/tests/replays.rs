//! What a replay has of the first answer, and what not.

use http::header;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;

fn with(headers: &[(&'static str, &'static str)]) -> Reply {
    let mut reply = reply(200, "body");
    for (name, value) in headers {
        reply.headers_mut().append(*name, value.parse().unwrap());
    }
    reply
}

#[tokio::test(start_paused = true)]
async fn fields_of_the_moment_the_connection_or_the_caller_are_not_replayed() {
    // IK-15, field by field.
    let never = [
        ("set-cookie", "session=secret"),
        ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("age", "1"),
        ("connection", "x-hop, close"),
        ("x-hop", "named by connection"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("upgrade", "h2c"),
        ("proxy-authenticate", "Basic"),
        ("traceparent", "00-1-2-01"),
        ("tracestate", "a=1"),
        ("server-timing", "db;dur=5"),
        ("ratelimit", "10"),
        ("ratelimit-policy", "10;w=1"),
        ("x-ratelimit-remaining", "9"),
        ("retry-after", "5"),
        ("access-control-allow-origin", "https://a.example"),
        ("vary", "Origin"),
    ];
    let always = [
        ("content-type", "application/json"),
        ("location", "/v1/payments/1"),
        ("etag", "\"1\""),
        ("x-many", "a"),
        ("x-many", "b"),
    ];
    let bench = Bench::new();
    let first = bench.run(payment("k"), with(&[&never[..], &always[..]].concat()));
    for (name, value) in never {
        assert_eq!(first.headers()[name], value, "the first caller gets it");
    }
    let replay = bench.answered(payment("k"));
    for (name, _) in never {
        assert!(!replay.headers().contains_key(name), "{name}");
    }
    let kept: Vec<_> = replay.headers().get_all("x-many").iter().collect();
    assert_eq!(kept, ["a", "b"]);
    for (name, value) in &always[..3] {
        assert_eq!(replay.headers()[*name], value);
    }
    assert_eq!(replay.headers().len(), always.len() + 1, "and the mark");
}

#[tokio::test(start_paused = true)]
async fn vary_loses_its_origin_and_keeps_the_rest() {
    // IK-15.
    let bench = Bench::new();
    bench.run(
        payment("k"),
        with(&[("vary", "Accept, origin, Accept-Encoding")]),
    );
    let replay = bench.answered(payment("k"));
    assert_eq!(replay.headers()["vary"], "Accept, Accept-Encoding");
}

#[tokio::test(start_paused = true)]
async fn lists_of_ones_own_narrow_what_is_replayed() {
    // IK-15: the allow-list mode, and further fields to leave out.
    let bench = Bench::with(|options| {
        let options = options.replay_only([header::LOCATION, header::SET_COOKIE, header::ETAG]);
        options.never_replay([header::ETAG])
    });
    let headers = [
        ("location", "/1"),
        ("set-cookie", "a=1"),
        ("etag", "\"1\""),
        ("x-other", "1"),
    ];
    bench.run(payment("k"), with(&headers));
    let replay = bench.answered(payment("k"));
    let names: Vec<_> = replay.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["location", "idempotent-replayed"]);
}

#[tokio::test(start_paused = true)]
async fn handler_cannot_mark_its_own_answer_as_replayed() {
    // IK-14.
    let bench = Bench::new();
    bench.run(payment("k"), with(&[("idempotent-replayed", "false")]));
    let replay = bench.answered(payment("k"));
    assert_eq!(
        replay
            .headers()
            .get_all("idempotent-replayed")
            .iter()
            .count(),
        1
    );
    assert_eq!(replay.headers()["idempotent-replayed"], "true");
}

#[tokio::test(start_paused = true)]
async fn rest_of_the_retention_is_told_where_asked() {
    // IK-10.
    let name = http::HeaderName::from_static("idempotency-expires-in");
    let bench = Bench::with(|options| options.retention(100 * SECOND).expiry_header(name.clone()));
    let first = bench.run(payment("k"), reply(200, ""));
    assert_eq!(first.headers()[&name], "100");
    tokio::time::advance(40 * SECOND).await;
    assert_eq!(bench.answered(payment("k")).headers()[&name], "60");
}

#[tokio::test(start_paused = true)]
async fn answer_that_the_store_does_not_have_has_no_rest_of_a_retention() {
    // IK-10.
    let name = http::HeaderName::from_static("idempotency-expires-in");
    let bench = Bench::with(|options| options.run_unprotected(true).expiry_header(name.clone()));
    bench.store.breaks("complete", Fault::Fails);
    let call = tokio::spawn(bench.layer.layer(bench.inner.clone()).oneshot(payment("k")));
    turn().await;
    bench.reached().answer(reply(200, "sent and lost"));
    let answer = call.await.unwrap().unwrap();
    assert!(!answer.headers().contains_key(&name));
    assert_eq!(read(answer).2, "sent and lost");
}

#[tokio::test(start_paused = true)]
async fn body_and_trailers_are_the_same_bytes() {
    // IK-14: every byte, empty bodies and large ones.
    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    for (key, body) in [
        ("a", Vec::new()),
        ("b", all.clone()),
        ("c", all.repeat(400)),
    ] {
        let sent = body.clone();
        let service = layer.layer(service_fn(move |_| {
            let half = sent.len() / 2;
            let frames = [&sent[..half], &sent[half..]]
                .map(|data| Frame::data(Bytes::copy_from_slice(data)));
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-sum", "1".parse().unwrap());
            let frames = frames.into_iter().chain([Frame::trailers(trailers)]);
            let frames = frames.map(Ok::<_, BoxError>).collect::<Vec<_>>();
            let body = StreamBody::new(futures_util::stream::iter(frames));
            async { Ok::<_, BoxError>(Response::new(body)) }
        }));
        for again in [false, true] {
            let answer = service.clone().oneshot(payment(key)).await.unwrap();
            assert_eq!(answer.headers().contains_key("idempotent-replayed"), again);
            let collected = answer.into_body().collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
            assert_eq!(collected.to_bytes(), body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn compression_stands_outside_and_sees_the_identity_each_time() {
    // Pitfall 18: what is stored is not encoded for its first caller.
    let bench = Bench::new();
    let encode = |answer: Out, accepts: bool| {
        assert!(!answer.headers().contains_key("content-encoding"));
        if accepts {
            format!("gzip({})", read(answer).2)
        } else {
            read(answer).2
        }
    };
    let first = encode(bench.run(payment("k"), reply(200, "body")), true);
    let second = encode(bench.answered(payment("k")), false);
    assert_eq!((&*first, &*second), ("gzip(body)", "body"));
}

#[tokio::test(start_paused = true)]
async fn list_of_ones_own_keeps_what_the_bytes_mean() {
    let bench = Bench::with(|options| options.replay_only([header::LOCATION]));
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("grpc-status", "0"),
        ("x-other", "1"),
    ];
    bench.run(payment("k"), with(&headers));
    let replay = bench.answered(payment("k"));
    let names: Vec<_> = replay.headers().keys().map(|name| name.as_str()).collect();
    let kept = ["content-type", "content-encoding", "grpc-status"];
    assert_eq!(names, [&kept[..], &["idempotent-replayed"]].concat());
}
