//! Which counter a call counts on, and what a drain waits for.

use std::collections::VecDeque;

use super::*;
use tokio_test::{assert_pending, assert_ready, task};

#[test]
fn every_call_is_counted_whatever_clone_it_came_from() {
    let mut share = Share::new(());
    let mut clone = share.clone();
    let held: Vec<_> = (0..3).map(|_| share.hold()).collect();
    let other: Vec<_> = (0..3).map(|_| clone.hold()).collect();
    assert_eq!(share.in_flight(), 6);
    drop(clone);
    assert_eq!(share.in_flight(), 6, "a dropped clone's calls go on");
    drop(held);
    drop(other);
    assert_eq!(share.in_flight(), 0);
}

#[test]
fn second_call_of_a_clone_leaves_the_shared_counter() {
    let share = Share::new(());
    let mut clone = share.clone();
    let first = clone.hold();
    assert!(Arc::ptr_eq(&first.local, &share.anchor.held.local));
    let second = clone.hold();
    assert!(!Arc::ptr_eq(&second.local, &share.anchor.held.local));
    let third = clone.hold();
    assert!(Arc::ptr_eq(&second.local, &third.local));
}

#[test]
fn counters_of_dropped_clones_do_not_pile_up() {
    let share = Share::new(());
    for _ in 0..1000 {
        let mut clone = share.clone();
        let (first, second) = (clone.hold(), clone.hold());
        drop((first, second));
    }
    let locals = share.core().locals.lock().unwrap();
    assert!(locals.len() < 16, "{} counters are left", locals.len());
}

/// As many clones come as go, as connections do: what a sweep costs must be spread over many of them.
#[test]
fn sweep_of_dropped_clones_leaves_room_for_as_many_as_live() {
    let share = Share::new(());
    let busy = || {
        let mut clone = share.clone();
        drop((clone.hold(), clone.hold()));
        clone
    };
    let places = || {
        let locals = share.core().locals.lock().unwrap();
        (locals.len(), locals.capacity())
    };
    // Until there is no room left, and nearly all of them live.
    let mut clones: VecDeque<_> = std::iter::repeat_with(busy).take(100).collect();
    while places().0 < places().1 {
        clones.push_back(busy());
    }
    clones.pop_front();
    clones.push_back(busy());
    let (taken, capacity) = places();
    assert_eq!(taken, clones.len() + 1, "the dropped one was swept");
    assert!(capacity - taken >= clones.len(), "{taken} of {capacity}");
}

#[test]
fn drain_waits_for_the_last_call_and_refuses_new_ones() {
    let mut share = Share::new(());
    let (first, second) = (share.hold(), share.hold());
    let mut drain = task::spawn(share.drain());
    assert!(share.control().is_draining());
    assert_pending!(drain.poll());
    drop(first);
    assert_pending!(drain.poll());
    drop(second);
    assert!(drain.is_woken());
    assert_ready!(drain.poll());
}

#[test]
fn drain_of_an_idle_layer_is_ready_at_once() {
    let share = Share::new(());
    let mut drain = task::spawn(share.drain());
    assert_ready!(drain.poll());
}

#[test]
fn dropped_drain_leaves_no_trace() {
    let mut share = Share::new(());
    let held = share.hold();
    let mut drain = task::spawn(share.drain());
    assert_pending!(drain.poll());
    drop(drain);
    share.control().resume();
    drop(held);
    assert!(!share.control().is_draining());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_ends_whatever_the_threads_do() {
    for _ in 0..200 {
        let share = Share::new(());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let mut clone = share.clone();
                tokio::spawn(async move {
                    // Calls until it sees the drain, as a layer does.
                    loop {
                        let held = clone.hold();
                        if held.control().is_draining() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        // A drain that missed a call's end would hang here, and the test runner ends what hangs.
        share.drain().await;
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!(share.in_flight(), 0);
    }
}

#[test]
fn counters_of_two_clones_lie_on_lines_of_their_own() {
    let parent = Share::new(());
    let mut clones: Vec<_> = (0..16).map(|_| parent.clone()).collect();
    let mut held = Vec::new();
    let mut lines: Vec<usize> = clones
        .iter_mut()
        .map(|clone| {
            drop(clone.hold());
            let own = clone.hold();
            // The counts of an `Arc` lie in front of its value.
            let line = Arc::as_ptr(&own.local).addr() / 64;
            held.push(own);
            line
        })
        .collect();
    lines.sort_unstable();
    assert!(
        lines.windows(2).all(|pair| pair[1] - pair[0] >= 2),
        "{lines:?}"
    );
}
