//! What a call that is answered before its delay allocates: nothing, where its request is cloned without; over HTTP its copy.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use seaworthy_hedge::{HedgeLayer, Percentile};
use seaworthy_kit::BoxError;
use seaworthy_kit::testing::{answered, cost_of_a_call};
use tower_layer::Layer;
use tower_service::Service;

/// Answers in the second poll, as what has to wait does, or in the first.
#[derive(Clone)]
struct Bare {
    waits: bool,
}

/// The answer of [`Bare`].
struct Answer<Res>(bool, Option<Res>);

impl<Res: Unpin> Future for Answer<Res> {
    type Output = Result<Res, BoxError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.0) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.1.take().expect("polled once")))
    }
}

impl Service<u64> for Bare {
    type Response = u64;
    type Error = BoxError;
    type Future = Answer<u64>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        Answer(self.waits, Some(request))
    }
}

/// How often such a call of a long-lived service allocates.
fn allocations<S, Req>(service: S, request: impl Fn() -> Req) -> u64
where
    S: Service<Req>,
{
    cost_of_a_call(service, request, |calls| {
        allocation_counter::measure(calls).count_total
    })
}

#[test]
fn call_answered_at_once_allocates_nothing() {
    let live = HedgeLayer::plain("stock").build().expect("valid");
    assert_eq!(allocations(live.layer(Bare { waits: false }), || 7), 0);
    let fixed = HedgeLayer::plain("stock").delay(Duration::from_secs(1));
    let fixed = fixed.build().expect("valid");
    assert_eq!(allocations(fixed.layer(Bare { waits: false }), || 7), 0);
}

#[tokio::test(start_paused = true)]
async fn call_answered_before_its_delay_allocates_nothing() {
    let live = HedgeLayer::plain("stock").delay(Percentile::new(0.95).min_samples(1));
    let live = live.build().expect("valid");
    assert_eq!(allocations(live.layer(Bare { waits: true }), || 7), 0);
    assert!(live.handle().snapshot().delay.is_some(), "it was armed");
    let fixed = HedgeLayer::plain("stock").delay(Duration::from_secs(1));
    let fixed = fixed.build().expect("valid");
    assert_eq!(allocations(fixed.layer(Bare { waits: true }), || 7), 0);
}

#[test]
fn call_of_a_fresh_clone_allocates_nothing() {
    let layer = HedgeLayer::plain("stock").build().expect("valid");
    let service = layer.layer(Bare { waits: false });
    let counted = allocation_counter::measure(|| answered(&mut service.clone(), 7));
    assert_eq!(counted.count_total, 0);
}

#[cfg(feature = "http")]
mod over_http {
    use std::future::{Ready, ready};

    use bytes::Bytes;
    use http::{Method, Request, Response};
    use http_body_util::{Empty, Full};

    use super::*;

    /// Answers at once, with 200.
    #[derive(Clone)]
    struct Server;

    impl<Req> Service<Req> for Server {
        type Response = Response<Empty<Bytes>>;
        type Error = BoxError;
        type Future = Ready<Result<Self::Response, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Req) -> Self::Future {
            ready(Ok(Response::new(Empty::new())))
        }
    }

    fn request(method: Method) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::from("amount=99"));
        *request.method_mut() = method;
        request
    }

    #[test]
    fn request_that_may_be_hedged_has_a_place_for_its_body_and_others_have_none() {
        let layer = HedgeLayer::http("gateway").build().expect("valid");
        let put = allocations(layer.layer(Server), || request(Method::PUT));
        assert_eq!(put, 1);
        let post = allocations(layer.layer(Server), || request(Method::POST));
        assert_eq!(post, 0);
    }
}

#[test]
fn idle_key_costs_no_more_than_documented() {
    const KEYS: usize = 100;
    let live = HedgeLayer::plain("stock");
    let fixed = HedgeLayer::plain("stock").delay(Duration::from_secs(1));
    for (builder, documented) in [(live, 33_000), (fixed, 6_000)] {
        let keys = NonZeroUsize::new(KEYS).expect("above zero");
        let layer = builder.keyed(keys, |key: &u64| *key).expect("valid");
        let mut service = layer.layer(Bare { waits: false });
        let used = allocation_counter::measure(|| {
            (0..KEYS as u64).for_each(|key| answered(&mut service, key));
        });
        assert_eq!(layer.handle().len(), KEYS);
        let bytes = used.bytes_current / KEYS as i64;
        assert!(bytes <= documented, "{bytes} bytes for each key");
    }
}

#[test]
fn call_of_a_known_key_allocates_nothing() {
    let keys = NonZeroUsize::MIN;
    let layer = HedgeLayer::plain("stock")
        .keyed(keys, |_: &u64| 1)
        .expect("valid");
    assert_eq!(allocations(layer.layer(Bare { waits: false }), || 7), 0);
}
