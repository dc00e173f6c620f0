//! What the layer allocates for a payment, on the memory store: a payment company counts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use seaworthy_idempotency::store::Memory;
use seaworthy_idempotency::{IdempotencyLayer, Scope};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

type Payment = Request<Full<Bytes>>;

/// A payment of 200 bytes, as a server has it in its hands.
fn payment(key: u32) -> Payment {
    Request::post("/v1/payments")
        .header(
            "idempotency-key",
            format!("8e03978e-40d5-43dd-bc93-{key:012}"),
        )
        .header("content-type", "application/json")
        .extension("merchant 7")
        .body(Full::new(Bytes::from(vec![b'x'; 200])))
        .unwrap()
}

/// A handler that answers at once with 200 bytes.
fn answering<B: Send + 'static>()
-> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    let answer = Bytes::from(vec![b'y'; 200]);
    service_fn(move |_| {
        let answer = answer.clone();
        async { Ok(Response::new(Full::new(answer))) }
    })
}

/// The allocations of one call; those of the request are not counted.
fn allocations<S>(runtime: &tokio::runtime::Runtime, service: &S, request: Payment) -> u64
where
    S: Service<Payment, Error: std::fmt::Debug> + Clone,
{
    let service = service.clone();
    let counted = allocation_counter::measure(|| {
        drop(runtime.block_on(service.oneshot(request)).unwrap());
    });
    counted.count_total
}

#[test]
fn payment_costs_at_most_sixteen_allocations_more_and_its_replay_fewer() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    let scope = Scope::by(|head| head.extensions().get::<&str>().copied());
    let layer = IdempotencyLayer::http("payments", Memory::new(), scope);
    let layer = layer.overdue_runs_again().build().unwrap();
    let layered = layer.layer(answering());

    let before = allocations(&runtime, &answering(), payment(0));
    // The store's own tables grow now and then, which the middle of many calls leaves out.
    let middle = |offset: u32| {
        let mut counts: Vec<_> = (0..1_000)
            .map(|key| allocations(&runtime, &layered, payment(offset + key)))
            .collect();
        counts.sort_unstable();
        counts[500] - before
    };
    let (run, replay) = (middle(0), middle(0));
    assert!(run <= 16, "{run} allocations more than without the layer");
    assert!(replay < run, "{replay} for a replay, {run} for a run");
}
