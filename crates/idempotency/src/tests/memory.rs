//! The layer on the memory store, from one end to the other.

use crate::store::Memory;

use super::*;

type Layered = IdempotencyLayer<Memory, Http>;

fn layer(memory: &Memory) -> Layered {
    let layer = IdempotencyLayer::http("payments", memory.clone(), Scope::global());
    layer.overdue_runs_again().wait(LEASE * 2).build().unwrap()
}

fn call(
    layer: &Layered,
    inner: &Handler,
    request: Request<ReqBody>,
) -> Spawn<ResponseFuture<Handler, Asked, Out>> {
    spawn(layer.layer(inner.clone()).call(request))
}

#[tokio::test(start_paused = true)]
async fn key_lives_its_whole_life() {
    let memory = Memory::new();
    let layer = layer(&memory);
    let (inner, remote) = Inner::new();
    let mut first = call(&layer, &inner, payment("k"));
    assert_pending!(first.poll());
    let mut mismatch = call(&layer, &inner, post("k", "another"));
    assert_eq!(assert_ready!(mismatch.poll()).unwrap().status(), 422);
    let mut waits = call(&layer, &inner, payment("k"));
    assert_pending!(waits.poll());
    remote.next_call().unwrap().answer(reply(201, "charge"));
    assert_eq!(
        read(assert_ready!(first.poll()).unwrap()),
        (201, false, "charge".into())
    );
    assert!(waits.is_woken());
    assert_pending!(waits.poll());
    // A store that came back at once is given a pause.
    tokio::time::advance(SECOND).await;
    assert_eq!(
        read(assert_ready!(waits.poll()).unwrap()),
        (201, true, "charge".into())
    );
    assert_eq!(memory.len(), 1);
    tokio::time::advance(24 * 3600 * SECOND).await;
    let mut later = call(&layer, &inner, payment("k"));
    assert_pending!(later.poll());
    remote
        .next_call()
        .unwrap()
        .answer(reply(200, "another day"));
    assert_eq!(read(assert_ready!(later.poll()).unwrap()).2, "another day");
}

#[tokio::test(start_paused = true)]
async fn run_that_fails_is_run_again_and_one_that_did_nothing_is_forgotten() {
    let memory = Memory::new();
    let layer = layer(&memory);
    let (inner, remote) = Inner::new();
    for attempt in 1..=3 {
        let mut run = call(&layer, &inner, payment("k"));
        assert_pending!(run.poll());
        let mut reached = remote.next_call().unwrap();
        let request = reached.request().unwrap();
        assert_eq!(
            request.extensions().get::<Run>().unwrap().attempt(),
            attempt
        );
        reached.answer(reply(503, ""));
        assert_ready!(run.poll()).unwrap();
    }
    let mut nothing = call(&layer, &inner, payment("k-2"));
    assert_pending!(nothing.poll());
    let mut answer = reply(422, "");
    answer.extensions_mut().insert(DidNothing);
    remote.next_call().unwrap().answer(answer);
    assert_ready!(nothing.poll()).unwrap();
    assert_eq!(memory.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn full_store_refuses_new_keys_and_forgets_no_answer() {
    // Pitfall 13: keys and bodies are bounded, and no running claim is evicted.
    let memory = Memory::builder().max_entries(2).build().unwrap();
    let layer = layer(&memory);
    let (inner, remote) = Inner::new();
    let mut answered = call(&layer, &inner, payment("a"));
    assert_pending!(answered.poll());
    remote.next_call().unwrap().answer(reply(200, "kept"));
    assert_ready!(answered.poll()).unwrap();
    let mut running = call(&layer, &inner, payment("b"));
    assert_pending!(running.poll());
    for key in 0..100 {
        let mut refused = call(&layer, &inner, payment(&key.to_string()));
        let refused = assert_ready!(refused.poll()).unwrap();
        assert_eq!(problem(refused), (503, "store-unavailable".into()));
    }
    assert_eq!(memory.len(), 2);
    remote.next_call().unwrap().answer(reply(200, "kept, too"));
    assert_ready!(running.poll()).unwrap();
    for (key, kept) in [("a", "kept"), ("b", "kept, too")] {
        let mut again = call(&layer, &inner, payment(key));
        assert_eq!(
            read(assert_ready!(again.poll()).unwrap()),
            (200, true, kept.into())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn answer_for_which_there_is_no_room_is_sent_and_never_run_again() {
    // IK-21, pitfall 13: as with one that is too long.
    let memory = Memory::builder()
        .max_bytes(2_000)
        .answer_room(100)
        .build()
        .unwrap();
    let layer = IdempotencyLayer::http("payments", memory, Scope::global());
    let layer = layer
        .overdue_runs_again()
        .compress_above(usize::MAX)
        .expiry_header("idempotency-expires-in".parse().unwrap())
        .build()
        .unwrap();
    let (inner, remote) = Inner::new();
    let mut first = call(&layer, &inner, payment("k"));
    assert_pending!(first.poll());
    let large = "x".repeat(10_000);
    remote.next_call().unwrap().answer(reply(201, &large));
    let first = assert_ready!(first.poll()).unwrap();
    assert!(!first.headers().contains_key("idempotency-expires-in"));
    assert_eq!(read(first), (201, false, large));
    let mut again = call(&layer, &inner, payment("k"));
    let refused = assert_ready!(again.poll()).unwrap();
    assert_eq!(problem(refused), (409, "outcome-known-not-stored".into()));
    assert_eq!(remote.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn store_that_is_full_is_there_and_so_nothing_runs_unprotected() {
    // IK-18: a store that answers may hold the answer.
    let memory = Memory::builder().max_entries(1).build().unwrap();
    let layer = IdempotencyLayer::http("payments", memory, Scope::global());
    let layer = layer.overdue_runs_again().run_unprotected(true);
    let layer = layer.build().unwrap();
    let (inner, remote) = Inner::new();
    let mut first = call(&layer, &inner, payment("k"));
    assert_pending!(first.poll());
    remote.next_call().unwrap().answer(reply(201, "charge"));
    assert_ready!(first.poll()).unwrap();
    let mut second = call(&layer, &inner, payment("another"));
    let refused = assert_ready!(second.poll()).unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}
