//! Bulkheads: never more calls than slots, and each slot comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use seaworthy::bulkhead::BulkheadLayer;
use tower::Layer;

use super::{Books, ROUNDS, Schedule, for_each_seed, round};

const SCHEDULE: Schedule = Schedule {
    steps: 3_000,
    polls: 6,
    bad: true,
};

#[test]
fn bulkhead_never_runs_more_than_its_limit_and_loses_no_slot() {
    for_each_seed(|mut rng| {
        let layer = BulkheadLayer::plain("stress")
            .max_concurrent(5)
            .build()
            .unwrap();
        let (bulkhead, books) = (layer.handle(), Arc::new(Books::default()));
        let _listening = bulkhead.subscribe(books.listener());
        let service = layer.layer(books.inner());
        let mut held = Vec::new();
        let mut limit = 5;
        for _ in 0..ROUNDS {
            let before = held.len();
            books.most.store(0, SeqCst);
            held = round(&service, held, &mut rng, &books, SCHEDULE);
            // A limit that shrinks takes no slot away from who has one.
            let most = books.most.load(SeqCst);
            assert!(
                most <= limit.max(before),
                "{most} of {limit}, {before} before"
            );
            let seen = bulkhead.snapshot();
            assert_eq!(seen.available, limit.saturating_sub(held.len()));
            books.balance(held.len(), seen.running);
            books.balance_inside(held.len());
            limit = rng.usize(1..8);
            bulkhead.set_limit(limit).unwrap();
        }
        drop(held);
        assert_eq!(bulkhead.snapshot().available, limit);
        assert!(books.refused.load(SeqCst) > 1_000 && books.ended.load(SeqCst) > 1_000);
    });
}

#[test]
fn queue_never_lets_in_more_than_the_limit_and_loses_no_call() {
    for_each_seed(|mut rng| {
        let layer = BulkheadLayer::plain("stress").max_concurrent(3);
        let layer = layer.queue(6, Duration::MAX).build().unwrap();
        let (bulkhead, books) = (layer.handle(), Arc::new(Books::default()));
        let _listening = bulkhead.subscribe(books.listener());
        let service = layer.layer(books.inner());
        let mut held = Vec::new();
        for _ in 0..ROUNDS {
            held = round(&service, held, &mut rng, &books, SCHEDULE);
            assert!(books.most.load(SeqCst) <= 3);
            let seen = bulkhead.snapshot();
            assert_eq!(held.len(), seen.running + seen.waiting);
            assert!(seen.waiting <= 6);
            // One that has a slot and was not polled since is not inside yet.
            let running = books.running.load(SeqCst);
            assert!(
                running <= seen.running,
                "{running} inside, {} slots",
                seen.running
            );
        }
        drop(held);
        let seen = bulkhead.snapshot();
        assert_eq!((seen.running, seen.waiting, seen.available), (0, 0, 3));
        assert_eq!(books.running.load(SeqCst), 0);
        let (refused, ended) = (books.refused.load(SeqCst), books.ended.load(SeqCst));
        assert!(
            refused > 100 && ended > 100,
            "{refused} refused, {ended} ended"
        );
    });
}
