//! What callers are told over HTTP: the quotas, with every answer.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use seaworthy_http::RespondLayer;
use seaworthy_kit::quota::{QuotaState, Quotas};
use tower::{ServiceBuilder, ServiceExt};

use super::*;

fn request() -> Request<Empty<Bytes>> {
    Request::new(Empty::new())
}

fn told<B>(response: &Response<B>) -> Vec<(String, u64, u64, Duration)> {
    let quotas: Option<&Quotas> = response.extensions().get();
    let each = quotas.into_iter().flat_map(Quotas::iter);
    let each = each.map(|state: &QuotaState| {
        let policy = state.policy.as_str().to_owned();
        (policy, state.limit, state.remaining, state.reset)
    });
    each.collect()
}

#[tokio::test]
async fn quotas_are_told_with_answers_and_refusals() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::http("api")
        .quota(tenth(2))
        .named_quota("daily", Quota::per_day(24))
        .quota(Quota::per_hour(24))
        .announce()
        .clock(time.clock())
        .build()
        .unwrap();
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(layer)
        .service(service_fn(|_: Request<Empty<Bytes>>| {
            ready(Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new())))
        }));
    let (mut answers, mut fields) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let response = stack.clone().oneshot(request()).await.unwrap();
        let policy = response.headers()["ratelimit-policy"].to_str().unwrap();
        assert_eq!(
            policy,
            r#""api";q=10;w=1, "daily";q=24;w=86400, "api-3";q=24;w=3600"#
        );
        let left = response.headers()["ratelimit"].to_str().unwrap();
        fields.push(left.split(',').next().unwrap().to_owned());
        answers.push((response.status(), told(&response)));
    }
    let expected = [r#""api";r=1;t=1"#, r#""api";r=0;t=1"#, r#""api";r=0;t=1"#];
    assert_eq!(fields, expected, "the edge writes the fields");
    let hour = Duration::from_secs(3600);
    let expected = |burst, long, reset| {
        vec![
            ("api".to_owned(), 10, burst, reset),
            ("daily".to_owned(), 24, long, hour),
            ("api-3".to_owned(), 24, long, hour / 24),
        ]
    };
    assert_eq!(answers[0], (StatusCode::OK, expected(1, 23, 100 * MS)));
    assert_eq!(answers[1], (StatusCode::OK, expected(0, 22, 100 * MS)));
    assert_eq!(
        answers[2],
        (StatusCode::TOO_MANY_REQUESTS, expected(0, 22, 100 * MS))
    );
}

#[tokio::test]
async fn two_layers_tell_theirs_and_a_silent_one_none() {
    let time = ManualClock::new();
    let layer = |name: &str| {
        RateLimitLayer::http(name)
            .quota(tenth(5))
            .clock(time.clock())
    };
    let stack = ServiceBuilder::new()
        .layer(layer("outer").announce().build().unwrap())
        .layer(layer("silent").build().unwrap())
        .layer(layer("inner").announce().build().unwrap())
        .service(service_fn(|_: Request<Empty<Bytes>>| {
            ready(Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new())))
        }));
    let response = stack.oneshot(request()).await.unwrap();
    let policies: Vec<_> = told(&response).into_iter().map(|told| told.0).collect();
    assert_eq!(policies, ["inner", "outer"]);
}

/// An edge further in made a response of it: it is a refusal all the same.
#[tokio::test]
async fn refusal_that_is_a_response_already_costs_nothing() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::http("api")
        .quota(tenth(5))
        .clock(time.clock());
    let layer = layer.build().unwrap();
    let stack = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(RespondLayer::new())
        .service(service_fn(|_: Request<Empty<Bytes>>| {
            let open = Rejection::new(RejectionKind::CircuitOpen, "stock".into());
            ready(Err::<Response<Empty<Bytes>>, BoxError>(Box::new(open)))
        }));
    let response = stack.oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(response);
    assert_eq!(layer.handle().snapshot().states[0].remaining, 5);
}

/// The refusal of a layer further in is an answer of the edge, too.
#[tokio::test]
async fn refusal_further_in_is_told_how_the_quotas_stand_and_costs_nothing() {
    let time = ManualClock::new();
    let layer = |name: &str| {
        let layer = RateLimitLayer::http(name).quota(tenth(5));
        layer.announce().clock(time.clock()).build().unwrap()
    };
    let (outer, inner) = (layer("outer"), layer("inner"));
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(outer)
        .layer(inner)
        .service(service_fn(|_: Request<Empty<Bytes>>| {
            let full = Rejection::new(RejectionKind::BulkheadFull, "handlers".into());
            ready(Err::<Response<Empty<Bytes>>, BoxError>(Box::new(full)))
        }));
    let response = stack.oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let left = response.headers()["ratelimit"].to_str().unwrap();
    assert_eq!(left, r#""inner";r=5, "outer";r=5"#);
    let policies: Vec<_> = told(&response).into_iter().map(|told| told.0).collect();
    assert_eq!(policies, ["inner", "outer"]);
}

#[tokio::test]
async fn each_quota_that_has_less_than_the_cost_is_named() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::http("api")
        .quota(tenth(5))
        .named_quota("hour", Quota::per_hour(6))
        .named_quota("day", Quota::per_day(9))
        .cost(|_: &Request<Empty<Bytes>>| 4)
        .announce()
        .clock(time.clock());
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(layer.build().unwrap())
        .service(service_fn(|_: Request<Empty<Bytes>>| {
            ready(Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new())))
        }));
    let _ = stack.clone().oneshot(request()).await.unwrap();
    let refused = stack.oneshot(request()).await.unwrap();
    let body = http_body_util::BodyExt::collect(refused.into_body()).await;
    let body = String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap();
    assert!(
        body.contains(r#""violated-policies":["api","hour"]"#),
        "{body}"
    );
}

#[tokio::test]
async fn stored_answer_that_is_given_again_costs_nothing() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::http("api")
        .quota(tenth(5))
        .clock(time.clock());
    let layer = layer.build().unwrap();
    let stack = ServiceBuilder::new()
        .layer(layer.clone())
        .service(service_fn(|request: Request<Empty<Bytes>>| {
            let mut response = Response::new(Empty::<Bytes>::new());
            if request.uri().path() == "/again" {
                response.extensions_mut().insert(seaworthy_http::Replayed);
            }
            ready(Ok::<_, BoxError>(response))
        }));
    for (path, left) in [("/first", 4), ("/again", 4), ("/first", 3)] {
        let request = Request::get(path).body(Empty::new()).unwrap();
        let _ = stack.clone().oneshot(request).await.unwrap();
        assert_eq!(
            layer.handle().snapshot().states[0].remaining,
            left,
            "{path}"
        );
    }
}

#[tokio::test]
async fn usual_exemptions_are_preflights_and_health_checks_and_no_more() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::http("api")
        .quota(tenth(5))
        .exempt(|request: &Request<Empty<Bytes>>| request.uri().path() == "/own")
        .exempt_defaults()
        .clock(time.clock());
    let layer = layer.build().unwrap();
    let stack = ServiceBuilder::new()
        .layer(layer.clone())
        .service(service_fn(|_: Request<Empty<Bytes>>| {
            ready(Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new())))
        }));
    let preflight = ["origin", "access-control-request-method"];
    for (method, path, headers, cost) in [
        ("GET", "/livez", &[][..], 0),
        ("HEAD", "/readyz", &[], 0),
        ("POST", "/grpc.health.v1.Health/Check", &[], 0),
        ("OPTIONS", "/orders", &preflight, 0),
        ("GET", "/own", &[], 0),
        ("OPTIONS", "/orders", &preflight[..1], 1),
        ("GET", "/orders", &preflight, 1),
        ("POST", "/healthz", &[], 1),
        ("GET", "/healthz/x", &[], 1),
        ("GET", "/orders", &[], 1),
    ] {
        let before = layer.handle().snapshot().states[0].remaining;
        let mut request = Request::builder().method(method).uri(path);
        for name in headers {
            request = request.header(*name, "https://shop.example");
        }
        let request = request.body(Empty::new()).unwrap();
        assert!(stack.clone().oneshot(request).await.is_ok());
        let after = layer.handle().snapshot().states[0].remaining;
        assert_eq!(before - after, cost, "{method} {path}");
    }
}

#[tokio::test]
async fn wait_is_rounded_up_at_the_edge_only() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::http("api")
        .quota(tenth(1))
        .clock(time.clock());
    let stack = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(layer.build().unwrap())
        .service(service_fn(|_: Request<Empty<Bytes>>| {
            ready(Ok::<_, BoxError>(Response::new(Empty::<Bytes>::new())))
        }));
    let _ = stack.clone().oneshot(request()).await.unwrap();
    let refused = stack.oneshot(request()).await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "1", "and not 0");
    let rejection: &Rejection = refused.extensions().get().expect("kept");
    assert_eq!(rejection.retry_after(), Some(100 * MS));
}

/// They are no quotas of theirs: an exempt call of a keyed layer holds what keys without room share.
#[tokio::test]
async fn exempt_calls_are_told_of_no_quotas() {
    let time = ManualClock::new();
    let builder = || {
        RateLimitLayer::http("api")
            .quota(tenth(5))
            .announce()
            .exempt(|request: &Request<Empty<Bytes>>| request.uri().path() == "/livez")
            .clock(time.clock())
    };
    let refuses = |request: Request<Empty<Bytes>>| {
        let open = Rejection::new(RejectionKind::CircuitOpen, "stock".into());
        ready(match request.headers().is_empty() {
            true => Ok(Response::new(Empty::<Bytes>::new())),
            false => Err::<_, BoxError>(Box::new(open)),
        })
    };
    let at = |path: &'static str| Request::get(path).body(Empty::new()).unwrap();
    let key = |request: &Request<Empty<Bytes>>| request.uri().path().len();
    let keyed = builder().keyed(NonZeroUsize::MIN, key).build().unwrap();
    let direct = builder().build().unwrap();
    let edge = RespondLayer::new();
    for fails in [false, true] {
        let request = |path| {
            let mut request = at(path);
            let fails = fails.then_some(http::HeaderValue::from_static("fails"));
            request
                .headers_mut()
                .extend(fails.map(|it| (http::header::FROM, it)));
            request
        };
        let keyed = (edge, keyed.clone()).layer(service_fn(refuses));
        let direct = (edge, direct.clone()).layer(service_fn(refuses));
        for (path, is_told) in [("/livez", false), ("/pay", true)] {
            let answer = keyed.clone().oneshot(request(path)).await.unwrap();
            assert_eq!(
                answer.headers().contains_key("ratelimit"),
                is_told,
                "{path}"
            );
            let answer = direct.clone().oneshot(request(path)).await.unwrap();
            assert_eq!(
                answer.headers().contains_key("ratelimit"),
                is_told,
                "{path}"
            );
        }
    }
    let drained = (edge, keyed.clone()).layer(service_fn(refuses));
    keyed.handle().drain().await;
    let answer = drained.oneshot(at("/livez")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers().contains_key("ratelimit"));
}

/// A service whose readiness is refused further in.
#[derive(Clone)]
struct Unready;

impl Service<u32> for Unready {
    type Response = ();
    type Error = Rejection;
    type Future = std::future::Pending<Result<(), Rejection>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Err(Rejection::new(RejectionKind::Shed, "inner".into())))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        panic!("it is never ready")
    }
}

#[test]
fn call_whose_inner_service_is_not_ready_is_told_unless_it_is_exempt() {
    let layer = RateLimitLayer::plain("api").quota(tenth(5)).announce();
    let layer = layer.exempt(|request: &u32| *request == 7).build().unwrap();
    let mut service = layer.layer(Unready);
    for (request, left) in [(7, None), (1, Some(5))] {
        let Poll::Ready(Err(error)) = task::spawn(service.call(request)).poll() else {
            panic!("it is never ready");
        };
        let quotas = Quotas::find(&*error).map(|it| it.iter().next().unwrap().remaining);
        assert_eq!(quotas, left);
    }
}
