//! Ten thousand random lives of a layer: whatever happens in whatever order, every call ends, is reported once, and leaves nothing behind.

use std::time::Duration;

use seaworthy_core::Outcome;
use tokio_test::task::{self, Spawn};
use tower_service::Service;

use super::Exchange;
use super::rig::{Answered, Fut, Rig, Svc, catch, runtime};
use super::subject::{OnDrop, Subject, Subjected};
use crate::Rejection;

/// Runs random interleavings of all that callers, inner service, clock and operators may do.
///
/// The seeds are the same each time, so that a failure is one for everybody; `SEAWORTHY_SEED=n` runs one of them alone.
///
/// # Panics
/// If the layer breaks a rule; the message has the seed.
pub fn interleave<L, Req, Res>(subject: &Subject<L, Req, Res>)
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    let seeds = match std::env::var("SEAWORTHY_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEAWORTHY_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..RUNS,
    };
    let runtime = runtime();
    let _entered = runtime.enter();
    for seed in seeds {
        let _announced = Seed(seed);
        // The layers' own draws, too.
        fastrand::seed(seed);
        Life::new(Rig::new(subject, &runtime), seed).live();
    }
}

const RUNS: u64 = 10_000;

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "how a test says what to do next")]
            {
                eprintln!("to see this again: SEAWORTHY_SEED={}", self.0);
            }
        }
    }
}

/// One random life.
struct Life<'a, L, Req, Res>
where
    L: Subjected<Req, Res>,
{
    rig: Rig<'a, L, Req, Res>,
    random: fastrand::Rng,
    services: Vec<Caller<Svc<L, Req, Res>>>,
    calls: Vec<Call<Fut<L, Req, Res>>>,
    exchanges: Vec<Exchange<Req, Res>>,
    tally: Tally,
}

struct Caller<S> {
    service: S,
    ready: bool,
}

struct Call<F> {
    future: Spawn<F>,
    polled: bool,
}

impl<F: Future> Call<F> {
    fn is_due(&self) -> bool {
        !self.polled || self.future.is_woken()
    }
}

/// What the callers saw.
#[derive(Default, Debug)]
struct Tally {
    made: usize,
    ok: usize,
    refused: usize,
    failed: usize,
    panicked: usize,
    dropped: usize,
}

impl<'a, L, Req, Res> Life<'a, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    fn new(rig: Rig<'a, L, Req, Res>, seed: u64) -> Self {
        let service = rig.service();
        Self {
            rig,
            random: fastrand::Rng::with_seed(seed),
            services: vec![Caller {
                service,
                ready: false,
            }],
            calls: Vec::new(),
            exchanges: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn live(mut self) {
        for _ in 0..self.random.usize(4..48) {
            self.step();
            // A detached call holds what it holds without a future of ours.
            if self.rig.subject.on_drop == OnDrop::cancels {
                let held = self.rig.held();
                assert!(
                    held <= self.calls.len(),
                    "{held} held by {} calls",
                    self.calls.len()
                );
            }
        }
        self.end();
    }

    fn step(&mut self) {
        match self.random.u8(0..24) {
            0..=3 => self.ready(),
            4..=8 => self.call(),
            9..=12 => self.poll_one(),
            13 => self.drop_one(),
            14 | 15 => self.advance(),
            16..=19 => self.answer_one(),
            20 => self.change_readiness(),
            21 => self.change_services(),
            22 if self.random.bool() => self.rig.remote.panic_in_call(),
            _ => self
                .rig
                .subject
                .meddle(&self.rig.layer, self.random.u64(..)),
        }
    }

    fn ready(&mut self) {
        let Some(index) = self.any(self.services.len()) else {
            return;
        };
        let Caller { service, ready } = &mut self.services[index];
        let polled = catch(|| self.rig.poll_ready(service));
        *ready = matches!(polled, Some(std::task::Poll::Ready(Ok(()))));
    }

    fn call(&mut self) {
        let Some(index) = self.any(self.services.len()) else {
            return;
        };
        // Most callers poll just before they call; some were ready for long.
        if !self.services[index].ready && self.random.bool() {
            self.ready();
        }
        let Caller { service, ready } = &mut self.services[index];
        if self.calls.len() < MAX_CALLS && std::mem::take(ready) {
            self.tally.made += 1;
            let request = self.rig.subject.request();
            match catch(|| service.call(request)) {
                Some(future) => self.calls.push(Call {
                    future: task::spawn(future),
                    polled: false,
                }),
                None => self.tally.panicked += 1,
            }
        }
    }

    fn poll_one(&mut self) {
        if let Some(index) = self.any(self.calls.len()) {
            self.poll(index);
        }
    }

    /// Polls a call, and forgets it if it is over.
    fn poll(&mut self, index: usize) {
        let Call { future, polled } = &mut self.calls[index];
        *polled = true;
        let result = match catch(|| self.rig.poll(future)) {
            Some(std::task::Poll::Pending) => return,
            Some(std::task::Poll::Ready(result)) => Some(result),
            None => None,
        };
        self.calls.swap_remove(index);
        self.count(result.as_ref());
    }

    fn count(&mut self, result: Option<&Answered<L, Req, Res>>) {
        let tally = &mut self.tally;
        let count = match result {
            None => &mut tally.panicked,
            Some(Ok(_)) => &mut tally.ok,
            Some(Err(error)) => match Rejection::find(&**error) {
                Some(rejection) if !rejection.reached_inner() => &mut tally.refused,
                _ => &mut tally.failed,
            },
        };
        *count += 1;
    }

    fn drop_one(&mut self) {
        if let Some(index) = self.any(self.calls.len()) {
            self.calls.swap_remove(index);
            self.tally.dropped += 1;
        }
    }

    fn advance(&mut self) {
        let millis = [0, 1, 100, 1_000, 31_000, 600_000];
        let by = millis[self.random.usize(..millis.len())];
        self.rig.advance(Duration::from_millis(by));
    }

    fn answer_one(&mut self) {
        self.exchanges
            .extend(std::iter::from_fn(|| self.rig.remote.next_call()));
        if let Some(index) = self.any(self.exchanges.len()) {
            let exchange = self.exchanges.swap_remove(index);
            match self.random.u8(0..8) {
                0 => exchange.panic(),
                1 | 2 => exchange.fail("the inner service fails"),
                _ => exchange.answer(self.rig.subject.response()),
            }
        }
    }

    fn change_readiness(&mut self) {
        match self.random.u8(0..6) {
            0 => self.rig.remote.fail_readiness(),
            1 | 2 => self.rig.remote.make_pending(),
            _ => self.rig.remote.make_ready(),
        }
    }

    fn change_services(&mut self) {
        let index = self.any(self.services.len());
        let new = match (self.random.u8(0..4), index) {
            (0, Some(index)) => {
                self.services.swap_remove(index);
                return;
            }
            (1, Some(index)) => self.services[index].service.clone(),
            (2, _) => self.rig.layer.clone().layer(self.rig.inner.clone()),
            _ => self.rig.service(),
        };
        if self.services.len() < MAX_SERVICES {
            self.services.push(Caller {
                service: new,
                ready: false,
            });
        }
    }

    /// Lets every call come to its end, polled only when it is woken, and looks at what is left.
    fn end(mut self) {
        self.services.clear();
        self.rig.remote.make_ready();
        for _ in 0..MAX_STEPS {
            if let Some(index) = self.calls.iter().position(Call::is_due) {
                self.poll(index);
            } else if self.calls.is_empty() {
                break;
            } else if let Some(exchange) =
                self.exchanges.pop().or_else(|| self.rig.remote.next_call())
            {
                exchange.answer(self.rig.subject.response());
            } else {
                self.rig.advance(Duration::from_secs(1));
            }
        }
        let left = self.calls.len();
        assert_eq!(
            left, 0,
            "{left} calls do not end: a wakeup was lost, or something spins"
        );
        // Of calls whose callers are gone: what is detached waits for its answer all the same.
        for exchange in self.exchanges.drain(..) {
            exchange.answer(self.rig.subject.response());
        }
        self.rig.turn();
        while let Some(exchange) = self.rig.remote.next_call() {
            exchange.answer(self.rig.subject.response());
        }
        self.rig.assert_at_rest(0);
        self.rig.assert_nothing_violated();
        if self.rig.subject.has_events() {
            self.check_reports();
        }
    }

    /// What was reported agrees with what the callers saw.
    fn check_reports(&self) {
        let outcomes = self.rig.recorder.outcomes();
        let [refused, let_through] =
            [true, false].map(|enforced| self.rig.recorder.refused(enforced));
        let tally = &self.tally;
        let reported = outcomes.len() + refused;
        assert!(reported <= tally.made, "{reported} reports of {tally:?}");
        let successes = outcomes
            .iter()
            .filter(|&&outcome| outcome == Outcome::Success)
            .count();
        // A detached call goes on, and ends well, though its caller did not wait for that.
        let unseen = match self.rig.subject.on_drop {
            OnDrop::cancels => 0,
            OnDrop::detaches => tally.dropped,
        };
        let least = successes - unseen.min(successes);
        assert!(
            (least..=successes + let_through).contains(&tally.ok),
            "{successes} successes and {let_through} let through, of {tally:?}"
        );
        assert!(
            (tally.refused..=tally.refused + tally.dropped).contains(&refused),
            "{refused} refused, of {tally:?}"
        );
        // Whoever waited for a turn and gave up never became a call.
        if let_through == 0 && !self.rig.subject.has_waits() {
            assert_eq!(reported, tally.made, "of {tally:?}");
        }
    }

    fn any(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.random.usize(..len))
    }
}

/// Enough for races, few enough that a life is short.
const MAX_CALLS: usize = 8;
const MAX_SERVICES: usize = 4;
/// An hour of paused time, and more polls than the calls of one life need.
const MAX_STEPS: usize = 4000;
