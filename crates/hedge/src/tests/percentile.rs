//! A delay that follows the latencies seen.

use tokio_test::{assert_pending, assert_ready};

use super::*;
use crate::Percentile;

fn live() -> Plain {
    plain().delay(Percentile::new(0.9).min_samples(10))
}

/// A call that takes that long.
async fn pass(rig: &mut Rig, latency: Duration) {
    let (mut call, first) = rig.waiting();
    tokio::time::advance(latency).await;
    first.answer(1);
    assert_ready!(call.poll()).unwrap();
}

/// Calls of 10 to 100 ms, of which the 90th percentile is 90 ms, or 1 % more: two digits are kept.
async fn warm_up(rig: &mut Rig) {
    for n in 1..=10 {
        pass(rig, 10 * n * MILLI).await;
    }
}

fn delay(rig: &Rig) -> Option<u128> {
    rig.handle.snapshot().delay.map(|delay| delay.as_millis())
}

#[tokio::test(start_paused = true)]
async fn there_is_no_hedge_before_there_are_enough_samples() {
    let mut rig = Rig::new(live());
    let (mut call, first) = rig.waiting();
    tokio::time::advance(3600 * SECOND).await;
    assert_pending!(call.poll());
    assert_eq!((rig.hedges(), delay(&rig)), (0, None));
    // A failure needs no delay.
    first.fail(Fault(1));
    assert_pending!(call.poll());
    assert_eq!(rig.hedges(), 1);
}

#[tokio::test(start_paused = true)]
async fn call_slower_than_the_percentile_gets_a_hedge() {
    let mut rig = Rig::new(live());
    warm_up(&mut rig).await;
    assert_eq!(delay(&rig), Some(90));
    let (mut call, _first) = rig.waiting();
    tokio::time::advance(89 * MILLI).await;
    assert_pending!(call.poll());
    assert_eq!(rig.hedges(), 0);
    tokio::time::advance(3 * MILLI).await;
    assert_pending!(call.poll());
    assert_eq!(rig.hedges(), 1);
}

#[tokio::test(start_paused = true)]
async fn loser_counts_as_long_as_it_ran_and_its_hedge_does_not_count() {
    let mut rig = Rig::new(live());
    warm_up(&mut rig).await;
    for n in 0..30 {
        let (mut call, _first) = rig.waiting();
        tokio::time::advance((95 + n) * MILLI).await;
        assert_pending!(call.poll());
        rig.remote.next_call().expect("the hedge").answer(2);
        assert_ready!(call.poll()).unwrap();
    }
    assert_eq!(rig.handle.snapshot().samples, 40);
    tokio::time::advance(2 * SECOND).await;
    pass(&mut rig, MILLI).await;
    // Left out, or counted by their hedges, it would not have risen.
    assert!(delay(&rig).unwrap() >= 95, "{:?}", delay(&rig));
}

#[tokio::test(start_paused = true)]
async fn caller_who_leaves_counts_if_the_call_was_slow() {
    let mut rig = Rig::new(live());
    warm_up(&mut rig).await;
    let (call, _first) = rig.waiting();
    tokio::time::advance(50 * MILLI).await;
    drop(call);
    assert_eq!(rig.handle.snapshot().samples, 10);
    let (call, _first) = rig.waiting();
    tokio::time::advance(95 * MILLI).await;
    drop(call);
    assert_eq!(rig.handle.snapshot().samples, 11);
}

#[tokio::test(start_paused = true)]
async fn failure_counts_if_it_was_slow_and_once() {
    let mut rig = Rig::new(live().max_hedges(1));
    warm_up(&mut rig).await;
    for (latency, samples) in [(5, 10), (95, 11)] {
        let (mut call, first) = rig.waiting();
        tokio::time::advance(latency * MILLI).await;
        first.fail(Fault(1));
        assert_pending!(call.poll());
        tokio::time::advance(SECOND).await;
        rig.remote.next_call().expect("the hedge").answer(2);
        assert_ready!(call.poll()).unwrap();
        assert_eq!(rig.handle.snapshot().samples, samples);
    }
}

#[tokio::test(start_paused = true)]
async fn answer_in_the_first_poll_is_a_sample() {
    let mut rig = Rig::new(live());
    for _ in 0..20 {
        let mut call = rig.call();
        rig.remote.next_call().unwrap().answer(1);
        assert_ready!(call.poll()).unwrap();
    }
    assert_eq!(rig.handle.snapshot().samples, 20);
}

#[tokio::test(start_paused = true)]
async fn old_latencies_are_forgotten() {
    let mut rig = Rig::new(live());
    warm_up(&mut rig).await;
    tokio::time::advance(61 * SECOND).await;
    assert_eq!(delay(&rig), None);
    let (mut call, _first) = rig.waiting();
    tokio::time::advance(SECOND).await;
    assert_pending!(call.poll());
    assert_eq!(rig.hedges(), 0);
}
