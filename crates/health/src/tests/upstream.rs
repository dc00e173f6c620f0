//! A circuit that is fed by checks of its dependency, without a single call of a user.

use seaworthy_circuit_breaker::{CircuitBreakerHandle, CircuitBreakerLayer, State};

use super::*;
use crate::checks::Upstream;

struct Rig {
    circuit: CircuitBreakerHandle,
    said: Said,
    asked: Arc<AtomicUsize>,
    health: Health,
}

impl Rig {
    fn new() -> Self {
        Self::closes_after(2)
    }

    fn closes_after(passes: u32) -> Self {
        let layer = CircuitBreakerLayer::plain("stock").consecutive_failures(2);
        let circuit = layer
            .recovery_timeout(600 * SECOND)
            .build()
            .unwrap()
            .handle();
        let said = Said::new(Reading::pass());
        let asked = Arc::new(AtomicUsize::new(0));
        let probe = {
            let (said, asked) = (said.clone(), asked.clone());
            move || {
                asked.fetch_add(1, Ordering::SeqCst);
                let reading = said.0.lock().unwrap().clone();
                async move {
                    match reading.status {
                        Status::Pass => Ok(()),
                        Status::Warn => std::future::pending().await,
                        Status::Fail => Err("down"),
                    }
                }
            }
        };
        let upstream = Upstream::new("stock", circuit.clone(), probe);
        let check = upstream.limit(SECOND).closes_after(passes).check();
        let health = Health::builder("x")
            .check(check.max_age(Duration::ZERO))
            .build()
            .unwrap();
        Self {
            circuit,
            said,
            asked,
            health,
        }
    }

    /// What it shows after one more run, and the circuit's state.
    async fn run(&self, reading: Reading) -> (Status, State) {
        self.said.says(reading);
        let report = self.health.report().await;
        (report.checks[0].status.unwrap(), self.circuit.state())
    }
}

#[tokio::test(start_paused = true)]
async fn checks_open_the_circuit_and_close_it_again() {
    use State::{Closed, Open};
    use Status::{Fail, Pass, Warn};
    let rig = Rig::new();
    let hangs = Reading::warn("hangs");
    for (reading, seen) in [
        (Reading::pass(), (Pass, Closed)),
        (Reading::fail("down"), (Fail, Closed)),
        // One that hangs is a failure as well, after its limit.
        (hangs.clone(), (Fail, Open)),
        (Reading::fail("down"), (Fail, Open)),
        (Reading::pass(), (Warn, Open)),
        (hangs, (Fail, Open)),
        // In a row.
        (Reading::pass(), (Warn, Open)),
        (Reading::pass(), (Pass, Closed)),
        (Reading::pass(), (Pass, Closed)),
    ] {
        assert_eq!(rig.run(reading.clone()).await, seen, "{reading:?}");
    }
    assert_eq!(rig.asked.load(Ordering::SeqCst), 9, "once for each run");
    assert!(rig.health.ready().await.ready, "it is not critical");
}

#[tokio::test(start_paused = true)]
async fn check_is_the_probe_of_a_half_open_circuit() {
    let rig = Rig::new();
    for _ in 0..2 {
        rig.run(Reading::fail("down")).await;
    }
    // Its wait has jitter.
    advance(3_600 * SECOND).await;
    assert_eq!(rig.run(Reading::pass()).await.0, Status::Pass);
    assert_ne!(rig.circuit.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn circuit_that_an_operator_opened_stays_open() {
    let rig = Rig::new();
    rig.circuit.force_open();
    for _ in 0..5 {
        assert_eq!(rig.run(Reading::pass()).await.1, State::ForcedOpen);
    }
}

#[tokio::test(start_paused = true)]
async fn no_good_answer_at_all_is_one() {
    let rig = Rig::closes_after(0);
    for _ in 0..2 {
        rig.run(Reading::fail("down")).await;
    }
    assert_eq!(
        rig.run(Reading::pass()).await,
        (Status::Pass, State::Closed)
    );
}

/// Those that the circuit let pass, in between, interrupt the row.
#[tokio::test(start_paused = true)]
async fn good_answers_in_a_row_are_of_one_time_that_it_was_open() {
    let rig = Rig::new();
    for _ in 0..2 {
        rig.run(Reading::fail("down")).await;
    }
    assert_eq!(rig.run(Reading::pass()).await.0, Status::Warn);
    // An operator closes it, and it opens again.
    rig.circuit.reset();
    for _ in 0..2 {
        rig.run(Reading::fail("down")).await;
    }
    assert_eq!(rig.run(Reading::pass()).await, (Status::Warn, State::Open));
}
