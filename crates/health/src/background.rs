//! Checks that run by themselves, so that nobody who asks has to wait for one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use seaworthy_kit::draw;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::registry::Registry;

/// How often they run.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) every: Duration,
    /// The share of the interval by which a round may come early.
    pub(crate) jitter: f64,
    started: AtomicBool,
}

impl Background {
    pub(crate) const fn new(every: Duration, jitter: f64) -> Self {
        Self {
            every,
            jitter,
            started: AtomicBool::new(false),
        }
    }

    /// Starts the task, once.
    pub(crate) fn start(&self, registry: &Arc<Registry>) {
        if !self.started.load(Ordering::Relaxed) && !self.started.swap(true, Ordering::AcqRel) {
            let registry = Arc::downgrade(registry);
            drop(tokio::spawn(rounds(registry, self.every, self.jitter)));
        }
    }
}

/// One round after the other, for as long as anybody holds the registry.
async fn rounds(registry: Weak<Registry>, every: Duration, jitter: f64) {
    while let Some(registry) = registry.upgrade() {
        let next = Instant::now() + wait(every, jitter, draw());
        let entries = registry.entries();
        let runs: Vec<_> = entries.iter().map(|entry| entry.renew()).collect();
        let ended = async {
            for (entry, run) in entries.iter().zip(runs) {
                if let Some(run) = run {
                    entry.wait(run).await;
                }
            }
        };
        // The next round is not held up by one that takes longer: it is waited for again in that.
        let _ = timeout_at(next, ended).await;
        registry.settle();
        drop(registry);
        sleep_until(next).await;
    }
}

/// The time to the next round: instances that were started together must not ask a database together for ever.
fn wait(every: Duration, jitter: f64, draw: u64) -> Duration {
    let part = draw as f64 / u64::MAX as f64;
    every.mul_f64(1.0 - jitter * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_comes_early_by_the_jitter_at_most() {
        let every = Duration::from_secs(10);
        assert_eq!(wait(every, 0.1, 0), every);
        assert_eq!(wait(every, 0.1, u64::MAX), Duration::from_secs(9));
        assert_eq!(wait(every, 0.0, u64::MAX), every);
    }
}
