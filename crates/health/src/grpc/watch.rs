//! One stream of `Watch`: what a service is, at once and whenever that changes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seaworthy_kit::clock::{instant, now};
use tokio::time::{Instant, sleep_until};

use super::answer::{seen, serving};
use super::message::ServingStatus;
use crate::health::Health;

/// A stream and what it said last.
pub(crate) struct Watch {
    health: Health,
    service: Arc<str>,
    last: Option<ServingStatus>,
    /// When results are to be asked for again.
    due: Instant,
    _place: Place,
}

/// What becomes of a stream.
pub(crate) type Step = Pin<Box<dyn Future<Output = (Watch, Option<ServingStatus>)> + Send>>;

/// How many streams there are.
#[derive(Clone, Default, Debug)]
pub(crate) struct Watches(Arc<AtomicUsize>);

/// One of them.
pub(crate) struct Place(Watches);

// ===== impl Watches =====

impl Watches {
    /// A place for one more, if there are not too many.
    pub(crate) fn take(&self, max: usize) -> Option<Place> {
        let more = |count| (count < max).then_some(count + 1);
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.ok().map(|_| Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

// ===== impl Watch =====

impl Watch {
    pub(crate) fn new(health: Health, service: Arc<str>, place: Place) -> Self {
        Self {
            health,
            service,
            last: None,
            due: Instant::now(),
            _place: place,
        }
    }

    /// The next thing to say, or nothing more: the process ends.
    pub(crate) fn step(mut self) -> Step {
        Box::pin(async move {
            let next = self.next().await;
            (self, next)
        })
    }

    /// Waits until the status is another than the last. What it was in between nobody hears: a slow reader gets the present.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            // Before the look: what changes after it is not missed.
            let changed = self.health.changed();
            // Checks that run only when somebody asks are asked by whoever watches; though not at each change, which would make the next.
            if Instant::now() >= self.due || self.health.lacks(&self.service) {
                self.due = instant(now() + self.health.pace());
                serving(&self.health, &self.service).await;
            }
            if self.health.registry().is_closed() {
                return None;
            }
            let status = seen(&self.health, &self.service);
            let status = status.unwrap_or(ServingStatus::ServiceUnknown);
            if self.last != Some(status) {
                self.last = Some(status);
                return Some(status);
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(self.due) => {}
            }
        }
    }
}
