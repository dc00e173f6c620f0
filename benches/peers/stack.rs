//! The four layers together, over plain requests and over HTTP with a body that is read to its end; and five of them.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use benches::{Case, drive};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use seaworthy::prelude::*;
use tower::ServiceBuilder;
use tower_resilience_bulkhead::BulkheadLayer as ResilienceBulkhead;
use tower_resilience_circuitbreaker::CircuitBreakerLayer as ResilienceBreaker;
use tower_resilience_retry::RetryLayer as ResilienceRetry;
use tower_resilience_timelimiter::TimeLimiterLayer;
use tower_service::Service;

use crate::inner::{Echo, Failed, Page};
use crate::rate_limit::{PLENTY, plenty_of_ours, plenty_of_resilience};
use crate::single::{LIMIT, Thrice};

macro_rules! tower {
    ($inner:expr) => {
        ServiceBuilder::new()
            .timeout(LIMIT)
            .load_shed()
            .concurrency_limit(100)
            .retry(Thrice::NEW)
            .service($inner)
    };
}

macro_rules! resilience {
    ($req:ty, $res:ty, $err:ty, $inner:expr) => {
        ServiceBuilder::new()
            .layer(TimeLimiterLayer::builder().timeout_duration(LIMIT).build())
            .layer(ResilienceBreaker::builder().build().expect("valid options"))
            .layer(
                ResilienceBulkhead::builder()
                    .max_concurrent_calls(100)
                    .build()
                    .expect("valid options"),
            )
            .layer(ResilienceRetry::<$req, $res, $err>::builder().build())
            .service($inner)
    };
}

macro_rules! seaworthy {
    ($kind:ident, $inner:expr) => {
        ServiceBuilder::new()
            .layer(
                TimeoutLayer::$kind("bench")
                    .limit(LIMIT)
                    .build()
                    .expect("valid options"),
            )
            .layer(
                CircuitBreakerLayer::$kind("bench")
                    .build()
                    .expect("valid options"),
            )
            .layer(
                BulkheadLayer::$kind("bench")
                    .max_concurrent(100)
                    .build()
                    .expect("valid options"),
            )
            .layer(RetryLayer::$kind("bench").build().expect("valid options"))
            .service($inner)
    };
}

pub(crate) fn plain() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let mut tower = tower!(Echo);
    let mut resilience = resilience!(u64, u64, Failed, Echo);
    let mut ours = seaworthy!(plain, Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower", move || drive(&mut tower, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

/// With a rate limit that is never met; tower has no circuit breaker.
pub(crate) fn five() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let mut tower = ServiceBuilder::new()
        .timeout(LIMIT)
        .load_shed()
        .rate_limit(PLENTY.into(), Duration::from_secs(1))
        .concurrency_limit(100)
        .retry(Thrice::NEW)
        .service(Echo);
    let mut resilience = ServiceBuilder::new()
        .layer(TimeLimiterLayer::builder().timeout_duration(LIMIT).build())
        .layer(plenty_of_resilience())
        .layer(ResilienceBreaker::builder().build().expect("valid options"))
        .layer(
            ResilienceBulkhead::builder()
                .max_concurrent_calls(100)
                .build()
                .expect("valid options"),
        )
        .layer(ResilienceRetry::<u64, u64, Failed>::builder().build())
        .service(Echo);
    let timeout = TimeoutLayer::plain("bench").limit(LIMIT).build();
    let bulkhead = BulkheadLayer::plain("bench").max_concurrent(100).build();
    let mut ours = ServiceBuilder::new()
        .layer(timeout.expect("valid options"))
        .layer(plenty_of_ours())
        .layer(
            CircuitBreakerLayer::plain("bench")
                .build()
                .expect("valid options"),
        )
        .layer(bulkhead.expect("valid options"))
        .layer(RetryLayer::plain("bench").build().expect("valid options"))
        .service(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("tower", move || drive(&mut tower, 1).is_ok()),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

pub(crate) fn http() -> Vec<Case<'static>> {
    let mut bare = Page;
    let mut tower = tower!(Page);
    let mut resilience = resilience!(
        Request<Full<Bytes>>,
        Response<Full<Bytes>>,
        Infallible,
        Page
    );
    let mut ours = seaworthy!(http, Page);
    vec![
        Case::new("bare", move || exchange(&mut bare, ping())),
        Case::new("tower", move || exchange(&mut tower, ping())),
        Case::new("tower-resilience", move || {
            exchange(&mut resilience, ping())
        }),
        Case::new("seaworthy", move || exchange(&mut ours, ping())),
    ]
}

fn ping() -> Request<Full<Bytes>> {
    Request::new(Full::from("ping"))
}

/// The request, and its response read to the end of its body.
pub(crate) fn exchange<S, B>(service: &mut S, request: Request<Full<Bytes>>) -> usize
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let response = drive(service, request).expect("the page is always there");
    assert_eq!(response.status(), 200);
    let mut body = pin!(response.into_body());
    let mut cx = Context::from_waker(Waker::noop());
    let mut read = 0;
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(frame)) => {
                let frame = frame.expect("the page is whole");
                read += frame.data_ref().map_or(0, Bytes::len);
            }
            Poll::Ready(None) => return read,
            Poll::Pending => panic!("the page is there at once"),
        }
    }
}
