//! Circuits: each call is settled once, and half-open there are never more probes than allowed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seaworthy::Plain;
use seaworthy::circuit_breaker::{CircuitBreakerHandle, CircuitBreakerLayer, State};
use seaworthy::kit::testing::ManualClock;
use tower::Layer;

use super::{Books, ROUNDS, Schedule, for_each_seed, round};
use crate::stack::{OPEN, PROBES};

/// Longer than the default lease of a probe.
const LEASE: Duration = Duration::from_secs(31);

fn circuit() -> (CircuitBreakerLayer<Plain>, ManualClock) {
    let clock = ManualClock::new();
    let layer = CircuitBreakerLayer::plain("stress")
        .failure_rate(None)
        .consecutive_failures(3)
        .recovery_timeout(OPEN)
        .recovery_factor(1.0)
        .jitter(0.0)
        .half_open_max_calls(PROBES)
        .clock(clock.clock());
    (layer.success_threshold(PROBES).build().unwrap(), clock)
}

#[test]
fn every_call_through_a_circuit_is_settled_once_or_in_flight() {
    for_each_seed(|mut rng| {
        let (layer, clock) = circuit();
        let (circuit, books) = (layer.handle(), Arc::new(Books::default()));
        let _listening = circuit.subscribe(books.listener());
        let service = layer.layer(books.inner());
        let (mut held, mut states) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let schedule = Schedule {
                steps: 3_000,
                polls: 6,
                bad: rng.bool(),
            };
            held = round(&service, held, &mut rng, &books, schedule);
            books.balance(held.len(), circuit.snapshot().in_flight);
            books.balance_inside(held.len());
            states.push(circuit.state());
            match rng.u8(..6) {
                0 => circuit.force_open(),
                1 => circuit.reset(),
                2 => clock.advance(LEASE),
                _ => clock.advance(OPEN),
            }
        }
        drop(held);
        assert_eq!(circuit.snapshot().in_flight, 0);
        books.balance_inside(0);
        assert!(books.refused.load(SeqCst) > 0 && books.ended.load(SeqCst) > 1_000);
        assert!(states.contains(&State::Closed) && states.contains(&State::Open));
    });
}

/// A circuit that does not close again soon: it asks for a thousand successes.
fn half_open() -> (CircuitBreakerLayer<Plain>, ManualClock) {
    let clock = ManualClock::new();
    let layer = CircuitBreakerLayer::plain("stress")
        .recovery_timeout(OPEN)
        .recovery_factor(1.0)
        .jitter(0.0)
        .half_open_max_calls(PROBES)
        .success_threshold(1_000)
        .failure_rate(None)
        .consecutive_failures(1)
        .clock(clock.clock());
    (layer.build().unwrap(), clock)
}

fn fail(circuit: &CircuitBreakerHandle) {
    let call = circuit.call(|| async { Err::<(), _>("badly") });
    let mut call = Box::pin(call);
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(_))));
}

/// Calls that are dropped more often than not: all rounds together have less than a thousand successes.
const MOSTLY_DROPPED: Schedule = Schedule {
    steps: 3_000,
    polls: 250,
    bad: false,
};

#[test]
fn half_open_circuit_never_has_more_probes_than_its_limit() {
    for_each_seed(|mut rng| {
        let (layer, clock) = half_open();
        let (circuit, books) = (layer.handle(), Arc::new(Books::default()));
        let service = layer.layer(books.inner());
        fail(&circuit);
        assert_eq!(circuit.state(), State::Open);
        clock.advance(OPEN);

        let mut held = Vec::new();
        let mut silent = 0;
        for number in 1..=ROUNDS {
            books.most.store(0, SeqCst);
            held = round(&service, held, &mut rng, &books, MOSTLY_DROPPED);
            assert_eq!(circuit.state(), State::HalfOpen);
            let most = books.most.load(SeqCst);
            assert!(
                most <= silent + PROBES as usize,
                "{most} probes, {silent} of them silent"
            );
            assert!(most >= PROBES as usize, "all of them are used");
            assert_eq!(circuit.snapshot().in_flight, held.len());
            silent = 0;
            if number % 4 == 0 {
                held.clear();
                fail(&circuit);
                clock.advance(OPEN);
            } else if rng.u8(..3) == 0 {
                // Those that are held lose their places, and come to an end all the same.
                clock.advance(LEASE);
                silent = held.len();
            } else if rng.bool() {
                held.clear();
            }
        }
        drop(held);
        assert_eq!(circuit.snapshot().in_flight, 0);
    });
}

#[test]
fn reopened_circuit_never_has_more_probes_than_its_limit() {
    for_each_seed(|mut rng| {
        let (layer, clock) = half_open();
        let (circuit, books) = (layer.handle(), Arc::new(Books::default()));
        let service = layer.layer(books.inner());
        fail(&circuit);
        for _ in 0..ROUNDS {
            clock.advance(OPEN);
            let before = books.admitted.load(SeqCst);
            books.most.store(0, SeqCst);
            let schedule = Schedule {
                bad: true,
                ..MOSTLY_DROPPED
            };
            let held = round(&service, Vec::new(), &mut rng, &books, schedule);
            let most = books.most.load(SeqCst);
            assert!((1..=PROBES as usize).contains(&most), "{most} probes");
            assert!(
                books.admitted.load(SeqCst) > before,
                "it is probed when its time is over"
            );
            assert_ne!(circuit.state(), State::Closed);
            drop(held);
        }
    });
}
