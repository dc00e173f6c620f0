//! The time that a future may take, from the first time on that it has to wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use seaworthy_kit::clock;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Sleep, sleep_until};

pin_project! {
    /// Armed on the first `Pending`: what is there at once has no timer.
    pub(crate) struct Timer {
        #[pin]
        sleep: Option<Unconstrained<Sleep>>,
        is_armed: bool,
    }
}

impl Timer {
    pub(crate) const fn new() -> Self {
        Self {
            sleep: None,
            is_armed: false,
        }
    }

    /// Ready once the time is up; the limit is asked for when the first wait begins, and `None` is for ever.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        limit: impl FnOnce() -> Option<Duration>,
    ) -> Poll<()> {
        let mut this = self.project();
        if !*this.is_armed {
            *this.is_armed = true;
            this.sleep.set(limit().map(|limit| {
                let until = clock::now() + limit;
                // Also where the task has used up its time slice, as one that never rests does.
                unconstrained(sleep_until(clock::instant(until)))
            }));
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Nobody waits any more.
    pub(crate) fn disarm(self: Pin<&mut Self>) {
        self.project().sleep.set(None);
    }
}
