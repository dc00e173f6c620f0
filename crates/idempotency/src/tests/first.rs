//! The way of a key from its first request to its repetitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test(start_paused = true)]
async fn second_request_with_a_key_gets_the_answer_of_the_first() {
    // IK-8, IK-14.
    let store = TestStore::default();
    let layer = builder(store.clone()).build().unwrap();
    let charges = Arc::new(AtomicUsize::new(0));
    let counted = charges.clone();
    let service = layer.layer(service_fn(move |request: Request<_>| {
        let count = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let body: whole::WholeBody<Full<Bytes>> = request.into_body();
            let body = body.collect().await?.to_bytes();
            assert_eq!(body, "{\"amount\":100}");
            let mut answer = answer(201, &format!("charge {count}"));
            answer
                .headers_mut()
                .insert("location", "/v1/payments/1".parse().unwrap());
            Ok::<_, BoxError>(answer)
        }
    }));
    let first = service.clone().oneshot(payment("k-1")).await.unwrap();
    assert_eq!(first.headers()["location"], "/v1/payments/1");
    assert_eq!(read(first).await, (201, false, "charge 1".into()));
    assert_eq!(store.steps(), ["claim", "complete"]);
    let second = service.clone().oneshot(payment("k-1")).await.unwrap();
    assert_eq!(second.headers()["location"], "/v1/payments/1");
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(read(second).await, (201, true, "charge 1".into()));
    assert_eq!(store.steps(), ["claim"]);
    let other = service.oneshot(payment("k-2")).await.unwrap();
    assert_eq!(read(other).await, (201, false, "charge 2".into()));
    assert_eq!(charges.load(Ordering::SeqCst), 2);
}
