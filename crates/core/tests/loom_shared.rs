//! What layers share besides their machines: a bounded count, the places of circuits that may refuse, and gauges set by many threads.
#![cfg(seaworthy_loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use loom::thread;
use seaworthy_core::circuit::{OpenCap, Place};
use seaworthy_core::{Ratio, Seats, show_settled};

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Runs both at once, and then what must hold.
fn race<S: Send + Sync + 'static>(shared: S, one: fn(&S), other: fn(&S), then: fn(&S)) {
    let shared = Arc::new(shared);
    let beside = shared.clone();
    let beside = thread::spawn(move || one(&beside));
    other(&shared);
    beside.join().expect("no panic");
    then(&shared);
}

// ===== Seats =====

#[test]
fn two_that_take_the_last_seat_get_one() {
    explore(|| {
        let shared = (Seats::new(), AtomicU64::new(0));
        let take = |(seats, got): &(Seats, AtomicU64)| {
            if seats.try_take(1) {
                got.fetch_add(1, Relaxed);
            }
        };
        race(shared, take, take, |(seats, got)| {
            assert_eq!((seats.taken(), got.load(Relaxed)), (1, 1));
        });
    });
}

#[test]
fn seat_given_back_while_another_is_taken_is_not_lost() {
    explore(|| {
        let seats = Seats::new();
        assert!(seats.try_take(2));
        race(
            seats,
            |seats| seats.give_back(),
            |seats| assert!(seats.try_take(2), "there are two"),
            |seats| assert_eq!(seats.taken(), 1),
        );
    });
}

// ===== Place =====

/// One circuit's place, and whether the circuit refuses.
struct Circuit {
    cap: Arc<OpenCap>,
    place: Place,
    /// Another's, so that there is room for two.
    _other: Place,
    refuses: AtomicBool,
}

fn cap(share: f64) -> Arc<OpenCap> {
    Arc::new(OpenCap::new(Ratio::try_new("share", share).expect("valid")))
}

impl Circuit {
    fn refusing() -> Self {
        let cap = cap(1.0);
        Self {
            place: Place::new(cap.clone(), true),
            _other: Place::new(cap.clone(), true),
            cap,
            refuses: AtomicBool::new(true),
        }
    }

    fn refuse(&self) {
        let _ = self.place.take(|| self.refuses.load(Relaxed));
    }

    fn close(&self) {
        self.refuses.store(false, Relaxed);
        self.place.give_back();
    }
}

#[test]
fn circuit_that_closes_while_it_refuses_keeps_no_place() {
    explore(|| {
        race(
            Circuit::refusing(),
            Circuit::refuse,
            Circuit::close,
            |circuit| assert_eq!(circuit.cap.refusing(), 0),
        );
    });
}

#[test]
fn two_calls_of_one_circuit_take_one_place() {
    explore(|| {
        race(
            Circuit::refusing(),
            Circuit::refuse,
            Circuit::refuse,
            |circuit| assert_eq!(circuit.cap.refusing(), 1),
        );
    });
}

fn enforce(place: &Place, enforced: &AtomicU64) {
    if place.take(|| true) {
        enforced.fetch_add(1, Relaxed);
    }
}

#[test]
fn two_circuits_do_not_both_take_the_last_place() {
    explore(|| {
        let cap = cap(0.5);
        let places = [(); 2].map(|()| Place::new(cap.clone(), true));
        let shared = (cap, places, AtomicU64::new(0));
        race(
            shared,
            |(_, [place, _], enforced)| enforce(place, enforced),
            |(_, [_, place], enforced)| enforce(place, enforced),
            |(cap, _, enforced)| {
                assert_eq!(cap.refusing(), 1);
                assert_eq!(enforced.load(Relaxed), 1);
            },
        );
    });
}

// ===== show_settled =====

#[test]
fn gauge_set_by_two_threads_is_right_in_the_end() {
    explore(|| {
        // What is, and what is shown of it.
        let shared = (AtomicU64::new(0), AtomicU64::new(0));
        let change = |(state, gauge): &(AtomicU64, AtomicU64)| {
            state.fetch_add(1, Relaxed);
            show_settled(|| state.load(Relaxed), |seen| gauge.store(*seen, Relaxed));
        };
        race(shared, change, change, |(state, gauge)| {
            assert_eq!(gauge.load(Relaxed), state.load(Relaxed));
        });
    });
}
