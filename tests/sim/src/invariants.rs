//! What must hold in every run, beside what the [ledger](crate::ledger) holds: nothing is admitted beyond a limit, and an open circuit is probed within its time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use seaworthy::Event;
use seaworthy::circuit_breaker::CircuitBreakerHandle;

use crate::ledger::Ledger;
use crate::world::Seconds;

/// What a half-open circuit may take to make up its mind: its probes have timeouts below the lease of 30 s, and the next ones another.
const TRIAL: Seconds = 60.0;

/// Counts what is inside of a limit; clones share the count.
#[derive(Clone, Debug)]
pub struct Limit {
    ledger: Ledger,
    limit: usize,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// One that is inside, until it is dropped.
#[derive(Debug)]
pub struct Inside(Arc<AtomicUsize>);

/// What a circuit has said of itself.
#[derive(Clone, Copy, Debug)]
enum Said {
    /// It will let a call through from then on.
    OpenUntil(Seconds),
    /// It tries, and something happened then.
    Trying(Seconds),
}

// ===== impl Limit =====

impl Limit {
    /// So many at a time; more are a word in the ledger.
    #[must_use]
    pub fn new(ledger: &Ledger, limit: usize) -> Self {
        Self {
            ledger: ledger.clone(),
            limit,
            now: Arc::default(),
            most: Arc::default(),
        }
    }

    /// One more.
    #[must_use]
    pub fn enter(&self) -> Inside {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        if now > self.limit {
            let limit = self.limit;
            self.ledger
                .broken(format!("{now} inside of a limit of {limit}"));
        }
        self.most.fetch_max(now, Ordering::Relaxed);
        Inside(Arc::clone(&self.now))
    }

    /// How many there are.
    #[must_use]
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// The most that there ever were.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sees to it that an open circuit lets the first call through after its time, and that a half-open one gets on; of a keyed layer, each with a label of its own. A call that is refused although it must not be is a word in the ledger.
///
/// # Panics
/// If a circuit opens and does not say for how long.
pub fn watch(ledger: &Ledger, handle: &CircuitBreakerHandle) {
    let ledger = ledger.clone();
    let said: Mutex<HashMap<Option<String>, Said>> = Mutex::default();
    let listener = handle.subscribe(move |report| {
        let key = report.key.map(ToOwned::to_owned);
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = ledger.world().now();
        match report.event {
            Event::CircuitChanged {
                to: "open",
                open_for,
                ..
            } => {
                let open_for = open_for.expect("an open circuit knows for how long");
                said.insert(key, Said::OpenUntil(now + open_for.as_secs_f64()));
            }
            Event::CircuitChanged {
                to: "half_open", ..
            } => {
                said.insert(key, Said::Trying(now));
            }
            Event::CircuitChanged { .. } => {
                said.remove(&key);
            }
            Event::Ended { .. } => {
                if let Some(Said::Trying(since)) = said.get_mut(&key) {
                    *since = now;
                }
            }
            // A number of this kind has about sixteen digits, and a call comes at a whole millisecond.
            Event::Refused { .. } => match said.get(&key) {
                Some(Said::OpenUntil(until)) if now < until + 1e-6 => {}
                Some(Said::Trying(since)) if now < since + TRIAL => {}
                said => ledger.broken(format!("refused at {now} by a circuit that is {said:?}")),
            },
            _ => {}
        }
    });
    listener.forever();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seaworthy::prelude::*;

    use super::*;
    use crate::world::run;

    #[test]
    #[should_panic(expected = "3 inside of a limit of 2")]
    fn one_too_many_is_noticed() {
        run(1, |world, _| async move {
            let ledger = Ledger::new(world);
            let limit = Limit::new(&ledger, 2);
            drop(limit.enter());
            let inside = [limit.enter(), limit.enter()];
            assert_eq!((limit.now(), limit.most(), ledger.close()), (2, 2, 0));
            let _ = (limit.enter(), inside);
            let _ = ledger.close();
        });
    }

    async fn call(handle: &CircuitBreakerHandle) {
        let _ = handle.call(|| async { Err::<(), _>("down") }).await;
    }

    #[test]
    fn circuit_that_keeps_its_word_passes() {
        run(1, |world, _| async move {
            let layer = CircuitBreakerLayer::plain("watched")
                .failure_rate(None)
                .consecutive_failures(1);
            let handle = layer.build().unwrap().handle();
            let ledger = Ledger::new(world);
            watch(&ledger, &handle);
            for second in 0..200 {
                world.at(f64::from(second)).await;
                call(&handle).await;
            }
            let _ = ledger.close();
        });
    }

    #[test]
    #[should_panic(expected = "refused at 30.1 by a circuit that is Some(OpenUntil(30.0))")]
    fn circuit_that_refuses_after_its_time_is_noticed() {
        run(1, |world, _| async move {
            // Its clock stands still, and the world's goes on.
            let clock = seaworthy::kit::testing::ManualClock::new();
            let layer = CircuitBreakerLayer::plain("watched")
                .failure_rate(None)
                .consecutive_failures(1)
                .jitter(0.0)
                .clock(clock.clock());
            let handle = layer.build().unwrap().handle();
            let ledger = Ledger::new(world);
            watch(&ledger, &handle);
            call(&handle).await;
            world.at(29.9).await;
            call(&handle).await;
            assert_eq!(ledger.close(), 0);
            world.at(30.1).await;
            call(&handle).await;
            let _ = ledger.close();
        });
    }

    #[test]
    #[should_panic(expected = "refused at 101 by a circuit that is Some(Trying(40.0))")]
    fn circuit_that_tries_for_ever_is_noticed() {
        run(1, |world, _| async move {
            let layer = CircuitBreakerLayer::plain("watched")
                .failure_rate(None)
                .consecutive_failures(1)
                .probe_lease(Duration::from_secs(1_000));
            let handle = layer.build().unwrap().handle();
            let ledger = Ledger::new(world);
            watch(&ledger, &handle);
            call(&handle).await;
            world.at(40.0).await;
            // Probes that say nothing.
            let mut silent = Vec::new();
            for _ in 0..3 {
                let handle = handle.clone();
                silent.push(tokio::spawn(async move {
                    let never = std::future::pending::<Result<(), BoxError>>();
                    handle.call(|| never).await
                }));
            }
            world.at(99.0).await;
            call(&handle).await;
            assert_eq!(ledger.close(), 0);
            world.at(101.0).await;
            call(&handle).await;
            let _ = ledger.close();
        });
    }
}
