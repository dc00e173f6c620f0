//! tower's own layers inside, which panic if they are called before they are ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_test::{assert_pending, assert_ready};
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;

#[tokio::test(start_paused = true)]
async fn hedge_goes_through_a_buffer() {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = calls.clone();
    let slow_first = service_fn(move |request: u32| {
        let first = seen.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(request)
        }
    });
    let stack = ServiceBuilder::new()
        .layer(plain().build().unwrap())
        .layer(BufferLayer::new(2))
        .service(slow_first);
    assert_eq!(stack.oneshot(7).await.unwrap(), 7);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn full_concurrency_limit_keeps_hedges_back() {
    let (inner, remote) = Inner::<u32, u32>::new();
    let layer = plain().build().unwrap();
    let recorder = record(&layer.handle());
    let mut stack = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(inner);
    let mut call = task::spawn(stack.ready().await.unwrap().call(7));
    assert_pending!(call.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!(withheld(&recorder), ["not_ready"]);
    let first = remote.next_call().unwrap();
    // Whoever comes next gets the place: no clone stands in line for it.
    let mut next = stack.clone();
    let mut ready = task::spawn(next.ready());
    assert_pending!(ready.poll());
    first.answer(1);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 1);
    assert!(ready.is_woken());
    assert_ready!(ready.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn hedge_takes_and_gives_back_a_place_of_a_concurrency_limit() {
    let (inner, remote) = Inner::<u32, u32>::new();
    let mut stack = ServiceBuilder::new()
        .layer(plain().build().unwrap())
        .layer(ConcurrencyLimitLayer::new(2))
        .service(inner);
    for _ in 0..5 {
        let mut call = task::spawn(stack.ready().await.unwrap().call(7));
        assert_pending!(call.poll());
        tokio::time::advance(DELAY).await;
        assert_pending!(call.poll());
        let first = remote.next_call().unwrap();
        remote.next_call().expect("the hedge").answer(2);
        assert_eq!(assert_ready!(call.poll()).unwrap(), 2);
        assert!(first.is_dropped());
        // Both places are free while the call is still held.
        let both = [stack.clone(), stack.clone()];
        for mut service in both {
            assert_ready!(task::spawn(service.ready()).poll()).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_hedge_gets_its_turn_of_a_concurrency_limit() {
    let (inner, remote) = Inner::<u32, u32>::new();
    let mut stack = ServiceBuilder::new()
        .layer(plain().wait_for_ready(true).build().unwrap())
        .layer(ConcurrencyLimitLayer::new(2))
        .service(inner);
    let mut slow = task::spawn(stack.ready().await.unwrap().call(7));
    assert_pending!(slow.poll());
    let mut other = task::spawn(stack.ready().await.unwrap().call(8));
    assert_pending!(other.poll());
    let (_first, second) = (remote.next_call().unwrap(), remote.next_call().unwrap());
    tokio::time::advance(DELAY).await;
    assert_pending!(slow.poll());
    second.answer(8);
    assert_eq!(assert_ready!(other.poll()).unwrap(), 8);
    assert!(slow.is_woken());
    assert_pending!(slow.poll());
    remote.next_call().expect("the hedge").answer(9);
    assert_eq!(assert_ready!(slow.poll()).unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn two_clones_race_for_one_hedge() {
    let budget = crate::BudgetConfig::default().share(0.5).floor(0);
    let mut rig = Rig::new(plain().budget(budget));
    let mut other = rig.service.clone();
    let (mut one, _first) = rig.waiting();
    other.ready().await.unwrap();
    let mut two = task::spawn(other.call(8));
    assert_pending!(two.poll());
    tokio::time::advance(DELAY).await;
    assert_pending!(two.poll());
    assert_pending!(one.poll());
    assert_eq!(rig.hedges(), 1);
    assert_eq!(rig.withheld(), ["budget"]);
}
