//! Request bodies that fail on their way: the fault is ours, and the upstream may be told from us.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use seaworthy::circuit_breaker::CircuitBreakerLayer;
use seaworthy::http::{DefaultClassifier, Http};
use seaworthy::kit::testing::Recorder;
use seaworthy::{BoxError, Classify, Outcome, Verdict};
use seaworthy_tests::{Frames, Protocol, within};
use tower::{Layer, ServiceExt};

use crate::stack::{Habits, Limits, boxed, hyper_stack, idle, is_idle, serve_hyper};

/// A body of which half comes, and then an error.
fn torn() -> Body {
    let (sender, body) = Frames::channel();
    let half = Frame::data(Bytes::from_static(b"half"));
    for frame in [Ok(half), Err(std::io::Error::other("torn"))] {
        sender.send(frame).unwrap();
    }
    Body::new(body)
}

#[tokio::test]
async fn request_body_that_fails_ends_the_call_on_both_sides() {
    for protocol in Protocol::ALL {
        let calls = Arc::new(AtomicU64::new(0));
        let served = serve_hyper(Limits::default(), {
            let calls = calls.clone();
            move |request: Request<Incoming>| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    let body = request.into_body().collect().await;
                    assert!(body.is_err(), "half a body must not look like a whole one");
                    Response::new(Body::empty())
                }
            }
        })
        .await;
        // With attempts left: what failed in the middle of our own body cannot be sent again.
        let client = hyper_stack(protocol, Habits::default());
        let request = served.server.request("PUT", "/", torn());
        let error = within("an error", client.send(request)).await;
        assert!(error.is_err(), "{protocol:?}");
        assert_eq!(client.retry.snapshot().retries, 0, "{protocol:?}");
        assert!(is_idle(&client.bulkhead));
        idle(&served.bulkhead).await;
        assert!(calls.load(Ordering::SeqCst) <= 1);
    }
}

#[tokio::test]
async fn failure_of_our_own_body_can_be_told_from_the_upstream_s() {
    for protocol in Protocol::ALL {
        let served = serve_hyper(Limits::default(), |request| async move {
            let _ = request.into_body().collect().await;
            Response::new(Body::empty())
        })
        .await;
        let ours = Http::classify(|result: Result<&Parts, &BoxError>| match result {
            Err(error) if is_of_the_caller(error) => Verdict::IGNORED,
            other => DefaultClassifier::new().classify(other),
        });
        for (traffic, expected) in [(None, Outcome::Failure), (Some(ours), Outcome::Ignored)] {
            let breaker = CircuitBreakerLayer::http("upstream");
            let events = Recorder::new();
            let service = match traffic {
                None => {
                    let layer = breaker.build().unwrap();
                    layer.handle().subscribe(events.listener()).forever();
                    boxed(layer.layer(protocol.hyper()))
                }
                Some(traffic) => {
                    let layer = breaker.traffic(traffic).build().unwrap();
                    layer.handle().subscribe(events.listener()).forever();
                    boxed(layer.layer(protocol.hyper()))
                }
            };
            let request = served.server.request("PUT", "/", torn());
            let error = within("an error", service.oneshot(request)).await;
            assert!(error.is_err());
            assert_eq!(events.outcomes(), [expected], "{protocol:?}: {error:?}");
        }
    }
}

/// Whether hyper says that its user, not its peer, is to blame.
fn is_of_the_caller(error: &BoxError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(&**error);
    while let Some(error) = next {
        let http1 = error.downcast_ref().is_some_and(hyper::Error::is_user);
        // HTTP/2 says it by a stream that was reset from this side.
        let ours = |error: &h2::Error| error.is_reset() && !error.is_remote();
        if http1 || error.downcast_ref().is_some_and(ours) {
            return true;
        }
        next = error.source();
    }
    false
}
