//! A task that only shows that tasks still run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use seaworthy_core::Moment;
use seaworthy_kit::clock::now;
use tokio::time::{MissedTickBehavior, interval};

/// When the task was last seen.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    last: Arc<AtomicU64>,
    limit: Duration,
    started: AtomicBool,
}

impl Heartbeat {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            last: Arc::new(AtomicU64::new(0)),
            limit,
            started: AtomicBool::new(false),
        }
    }

    /// Starts the task, once. It ends with the registry.
    pub(crate) fn start(&self) {
        if self.started.load(Ordering::Relaxed) {
            return;
        }
        // Before anybody may look at it.
        self.last.store(now().as_nanos(), Ordering::Relaxed);
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let last = Arc::downgrade(&self.last);
        let every = self.limit / BEATS;
        drop(tokio::spawn(async move {
            let mut beats = interval(every);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beats.tick().await;
                let Some(last) = last.upgrade() else {
                    return;
                };
                last.store(now().as_nanos(), Ordering::Relaxed);
            }
        }));
    }

    /// Whether the task ran within the limit; true until it was started.
    pub(crate) fn beats(&self) -> bool {
        if !self.started.load(Ordering::Acquire) {
            return true;
        }
        let last = Moment::from_nanos(self.last.load(Ordering::Relaxed));
        now().since(last) <= self.limit
    }
}

/// Beats within the limit: one that comes late is no end.
const BEATS: u32 = 5;
