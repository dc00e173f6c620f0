//! The layer by the conformance suite, and where it differs from others; the machine has its tests in core.

use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::task::Poll;
use std::time::Duration;

use seaworthy_core::gcra::TakenAll;
use seaworthy_kit::testing::{ManualClock, Recorder, Rejects};
use seaworthy_kit::{BoxError, Event, Gate, Rejection, RejectionKind, Share, deadline};
use tokio_test::task;
use tower::{Layer, Service, service_fn};

use super::*;

mod agrees;
mod conformance;
mod cost;
mod keyed;
mod limits;
mod line;
mod refund;

#[cfg(feature = "http")]
mod told;

const MS: Duration = Duration::from_millis(1);

/// Ten a second, and so many at once.
const fn tenth(burst: u64) -> Quota {
    Quota::per_second(10).with_burst(burst)
}

/// What a call through a service that answers at once gets: `None` if it is answered, else the refusal.
fn call<S, Req>(service: &mut S, request: Req) -> Option<Rejection>
where
    S: Service<Req, Error = BoxError>,
{
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert!(ready.is_ready());
    match task::spawn(Box::pin(service.call(request))).poll() {
        Poll::Ready(Ok(_)) => None,
        Poll::Ready(Err(error)) => Some(Rejection::find(&*error).expect("a refusal").clone()),
        Poll::Pending => panic!("neither waits"),
    }
}

fn kind(refused: Option<Rejection>) -> Option<RejectionKind> {
    refused.map(|rejection| rejection.kind())
}

/// Answers at once.
fn answers<Req>()
-> impl Service<Req, Response = (), Error = BoxError, Future = Ready<Result<(), BoxError>>> + Clone
{
    service_fn(|_: Req| ready(Ok(())))
}

/// Takes all there is, and gives it back when it is dropped.
struct Emptied {
    share: Share<RateGate>,
    taken: Option<TakenAll>,
}

impl Emptied {
    fn new(share: &Share<RateGate>) -> Self {
        let now = share.now();
        let all = share.states().map(|state| state.remaining).min();
        let taken = share.windows().try_take(now, all.expect("one"));
        let emptied = Self {
            share: share.clone(),
            taken: taken.ok(),
        };
        assert!(share.try_admit().is_err(), "nothing is left");
        emptied
    }
}

impl Drop for Emptied {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.share.withdraw(Spent::taken(taken));
        }
    }
}
